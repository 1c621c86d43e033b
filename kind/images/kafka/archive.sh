#!/bin/bash
# Runs while the image is built: starts Kafka once and keeps what Java made of the classes in /opt/kafka/kafka.jsa, as apache/kafka does. Brokers
# and tools then start sooner.
set -euo pipefail
# Java's own classes first, on which the archive of Kafka's is built; jlink leaves them out.
java -Xshare:dump >/dev/null
folder=$(mktemp -d)
cat >"$folder/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=0
controller.quorum.voters=0@127.0.0.1:9093
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$folder/data
PROPERTIES
/opt/kafka/bin/kafka-storage.sh format --cluster-id=c3luY2NsdXN0ZXItdGVzdA --config "$folder/server.properties"
KAFKA_OPTS=-XX:ArchiveClassesAtExit=/opt/kafka/kafka.jsa /opt/kafka/bin/kafka-server-start.sh "$folder/server.properties" &
until (exec 3<>/dev/tcp/127.0.0.1/9092) 2>/dev/null; do
  kill -0 $! || exit 1
  sleep 0.1
done
kill $!
# 143: it was asked to end.
wait $! || [ $? = 143 ]
[ -s /opt/kafka/kafka.jsa ]
rm -rf "$folder"
