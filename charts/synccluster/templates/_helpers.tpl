{{- define "synccluster.name" -}}
{{ printf "%s-operator" (.Release.Name | trunc 40 | trimSuffix "-") }}
{{- end }}

{{- define "synccluster.labels" -}}
{{ include "synccluster.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: synccluster
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* The name is part of the contract: the operator's network policies let pods with it through to the workloads. */}}
{{- define "synccluster.selector" -}}
app.kubernetes.io/name: synccluster-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "synccluster.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "synccluster.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
