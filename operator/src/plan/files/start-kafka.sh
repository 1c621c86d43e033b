#!/bin/bash
# Writes the broker's configuration, formats its storage when it is new, then becomes Kafka.
set -euo pipefail

id=${HOSTNAME##*-}
cat > /tmp/server.properties <<PROPERTIES
process.roles=broker,controller
node.id=$id
controller.quorum.voters=$VOTERS
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
advertised.listeners=PLAINTEXT://$HOSTNAME.$DOMAIN:9092
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=/var/lib/kafka/data
auto.create.topics.enable=false
default.replication.factor=$REPLICAS
min.insync.replicas=$MIN_IN_SYNC
offsets.topic.replication.factor=$REPLICAS
transaction.state.log.replication.factor=$REPLICAS
transaction.state.log.min.isr=$MIN_IN_SYNC
share.coordinator.state.topic.replication.factor=$REPLICAS
share.coordinator.state.topic.min.isr=$MIN_IN_SYNC
group.initial.rebalance.delay.ms=0
# Few groups and few transactions: Kafka's 50 partitions each would be made at the first start, and opened at every one.
offsets.topic.num.partitions=10
transaction.state.log.num.partitions=10
share.coordinator.state.topic.num.partitions=10
# Ten years: counter nodes may be away for longer than the seven days after which Kafka forgets where a group was.
offsets.retention.minutes=5256000
# The largest record of a connector has 10,000,000 bytes.
message.max.bytes=10485760
PROPERTIES

if [ ! -f /var/lib/kafka/data/meta.properties ]; then
    # With "=": one id in 64 begins with a dash.
    /opt/kafka/bin/kafka-storage.sh format --cluster-id="$CLUSTER_ID" --config /tmp/server.properties
fi
exec /opt/kafka/bin/kafka-server-start.sh /tmp/server.properties
