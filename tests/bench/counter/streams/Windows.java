import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.TimestampExtractor;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The counter's windows in Kafka Streams: sums of n by id over tumbling windows of event time, exactly once.
 * Arguments: bootstrap servers, application id, topic of the likes, prefix of the topics of sums, threads, "memory" or "rocksdb", state folder.
 */
public final class Windows {
    private static final Duration GRACE = Duration.ofSeconds(30);
    private static final byte[] AT = ",\"at\":".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] N = ",\"n\":".getBytes(StandardCharsets.US_ASCII);

    /** The number behind a member's name, without building a tree: nothing a faster parser could add. */
    private static long number(byte[] value, byte[] name) {
        for (int i = 0; i + name.length < value.length; i++) {
            int j = 0;
            while (j < name.length && value[i + j] == name[j]) {
                j++;
            }
            if (j == name.length) {
                int at = i + j;
                boolean negative = value[at] == '-';
                long number = 0;
                for (at += negative ? 1 : 0; value[at] >= '0' && value[at] <= '9'; at++) {
                    number = number * 10 + value[at] - '0';
                }
                return negative ? -number : number;
            }
        }
        throw new IllegalArgumentException("not a like");
    }

    public static final class EventTime implements TimestampExtractor {
        @Override
        public long extract(ConsumerRecord<Object, Object> record, long partitionTime) {
            return number((byte[]) record.value(), AT);
        }
    }

    public static void main(String[] args) {
        Properties config = new Properties();
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, args[4]);
        config.put(StreamsConfig.STATE_DIR_CONFIG, args[6]);
        config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        config.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        config.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
        StreamsBuilder builder = new StreamsBuilder();
        KGroupedStream<String, byte[]> likes = builder
            .stream(args[2], Consumed.with(Serdes.String(), Serdes.ByteArray()).withTimestampExtractor(new EventTime()))
            .groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()));
        for (int minutes : new int[] {1, 5, 10}) {
            Duration size = Duration.ofMinutes(minutes);
            String name = "sums-" + minutes + "m";
            Materialized<String, Long, WindowStore<Bytes, byte[]>> store = args[5].equals("memory")
                ? Materialized.as(Stores.inMemoryWindowStore(name, size.plus(GRACE), size, false))
                : Materialized.as(name);
            likes
                .windowedBy(TimeWindows.ofSizeAndGrace(size, GRACE))
                .aggregate(() -> 0L, (id, like, sum) -> sum + number(like, N), store.withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
                .toStream()
                .map((window, sum) -> {
                    long start = window.window().start();
                    String id = window.key();
                    return KeyValue.pair(
                        "{\"id\":\"" + id + "\",\"window_start\":" + start + "}",
                        "{\"id\":\"" + id + "\",\"window_start\":" + start + ",\"window_end\":" + window.window().end()
                            + ",\"count\":" + sum + ",\"updated_at\":" + System.currentTimeMillis() + "}");
                })
                .to(args[3] + minutes + "m", Produced.with(Serdes.String(), Serdes.String()));
        }
        KafkaStreams streams = new KafkaStreams(builder.build(), config);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
        streams.start();
    }
}
