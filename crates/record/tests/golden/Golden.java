import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;

/**
 * Writes the java-*.bin files beside this one:
 * java -cp kafka-clients-4.3.0.jar:snappy-java.jar:lz4-java.jar:zstd-jni.jar:slf4j-api.jar Golden.java DIRECTORY
 */
public class Golden {
    public static void main(String[] args) throws Exception {
        for (String codec : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
            ByteBuffer buffer = ByteBuffer.allocate(1 << 20);
            CompressionType type = CompressionType.forName(codec);
            MemoryRecordsBuilder batch = MemoryRecords.builder(buffer, RecordBatch.MAGIC_VALUE_V2,
                Compression.of(type).build(), TimestampType.CREATE_TIME, 0L, -1L,
                4711L, (short) 3, 42, false, -1);
            long t = 1700000000000L;
            batch.append(t, "key-0".getBytes(), "hello ".repeat(20).getBytes());
            batch.append(t + 5, null, "x".getBytes(), new Header[] {
                new RecordHeader("a", "1".getBytes()), new RecordHeader("a", "2".getBytes()),
                new RecordHeader("b", (byte[]) null)});
            batch.append(t + 2, "key-2".getBytes(), null);
            if (!codec.equals("none")) batch.append(t + 9, null, "tramline".repeat(10000).getBytes());
            MemoryRecords records = batch.build();
            write(args[0], codec, records);
            if (!codec.equals("none")) continue;
            for (MutableRecordBatch each : records.batches()) {
                each.setMaxTimestamp(TimestampType.LOG_APPEND_TIME, t + 1000);
            }
            write(args[0], codec + "-log-append-time", records);
        }
    }

    static void write(String directory, String name, MemoryRecords records) throws Exception {
        ByteBuffer out = records.buffer().duplicate();
        byte[] bytes = new byte[out.remaining()];
        out.get(bytes);
        Files.write(Path.of(directory, "java-4.3.0-" + name + ".bin"), bytes);
    }
}
