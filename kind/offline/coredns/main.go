// Command coredns is CoreDNS with the plugins that kubeadm's Corefile names, for a cluster that has no way out.
//
// `forward` has nobody to ask here and would let every name outside the cluster time out. Its stand-in says at once that
// there is no such name. `loop` looks for a forwarding loop; without forwarding it has nothing to do.
package main

import (
	"context"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
)

type nowhere struct{}

func (nowhere) Name() string { return "forward" }

func (nowhere) ServeDNS(_ context.Context, w dns.ResponseWriter, question *dns.Msg) (int, error) {
	answer := new(dns.Msg)
	answer.SetRcode(question, dns.RcodeNameError)
	return dns.RcodeNameError, w.WriteMsg(answer)
}

// Plugins answer in the order given here, whatever the order in the Corefile.
func init() {
	dnsserver.Directives = []string{
		"reload", "health", "ready", "prometheus", "errors", "log", "cache", "loadbalance", "kubernetes", "loop", "forward",
	}
	plugin.Register("loop", func(*caddy.Controller) error { return nil })
	plugin.Register("forward", func(c *caddy.Controller) error {
		dnsserver.GetConfig(c).AddPlugin(func(plugin.Handler) plugin.Handler { return nowhere{} })
		return nil
	})
}

func main() { coremain.Run() }
