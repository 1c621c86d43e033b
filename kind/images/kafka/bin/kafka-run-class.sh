#!/bin/sh
# Runs a class of Kafka's. KAFKA_HEAP_OPTS, KAFKA_LOG4J_OPTS and KAFKA_OPTS mean what they mean in Apache's own scripts.
: "${KAFKA_HEAP_OPTS:=-Xmx256M}"
: "${KAFKA_LOG4J_OPTS:=-Dlog4j2.configurationFile=/opt/kafka/config/tools-log4j2.properties}"
# Not there yet while archive.sh makes it.
if [ -s /opt/kafka/kafka.jsa ]; then KAFKA_OPTS="-XX:SharedArchiveFile=/opt/kafka/kafka.jsa $KAFKA_OPTS"; fi
# One compiler: these brokers share a few processors with all the rest, and what the second one makes faster pays back in hours. KAFKA_OPTS may say otherwise.
# shellcheck disable=SC2086 # options are words
exec /opt/java/bin/java $KAFKA_HEAP_OPTS -XX:TieredStopAtLevel=1 -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:+ExitOnOutOfMemoryError -XX:-UsePerfData \
  -Djava.awt.headless=true $KAFKA_LOG4J_OPTS $KAFKA_OPTS -cp '/opt/kafka/libs/*' "$@"
