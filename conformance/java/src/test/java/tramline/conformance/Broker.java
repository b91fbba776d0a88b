package tramline.conformance;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A broker process: the release binary on a data directory of its own and free ports, which it
 * keeps when it is started again.
 */
final class Broker implements AutoCloseable {
    private static final Pattern ADDRESS = Pattern.compile("\"(kafka|amqp|sqs)\":\\s*\"([^\"]+)\"");
    private static final String GROUPS = "[groups]\ninitial_rebalance_delay = \"0s\"\n";
    private static final String SQS =
            "[sqs]\ndeleted_window = \"0s\"\npurged_window = \"0s\"\n";
    private static Broker shared;

    private final Path directory;
    private final String settings;
    private String kafka = "127.0.0.1:0";
    private String amqp = "127.0.0.1:0";
    private String sqs = "127.0.0.1:0";
    private Process process;

    private Broker(Path directory, String settings) {
        this.directory = directory;
        this.settings = settings;
        start();
    }

    /** The broker that most tests share; it ends with this JVM. */
    static synchronized Broker shared() {
        if (shared == null) {
            shared = own();
        }
        if (!shared.process.isAlive()) {
            throw new IllegalStateException("the shared broker died:\n" + shared.log());
        }
        return shared;
    }

    /** A broker of one test's own. */
    static Broker own() {
        return with("");
    }

    /** A broker of one test's own, with more settings as TOML. */
    static Broker with(String settings) {
        try {
            Broker broker = new Broker(Files.createTempDirectory("tramline-"), settings);
            Runtime.getRuntime().addShutdownHook(new Thread(broker::close));
            return broker;
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    String kafka() {
        return kafka;
    }

    String amqp() {
        return amqp;
    }

    String sqs() {
        return sqs;
    }

    void start() {
        try {
            Path ready = directory.resolve("ready");
            Files.deleteIfExists(ready);
            Path config = directory.resolve("tramline.toml");
            Files.writeString(config, GROUPS + SQS + settings);
            File log = directory.resolve("log").toFile();
            process = new ProcessBuilder(List.of(
                    System.getenv("TRAMLINE_BINARY"), "serve",
                    "--config=" + config,
                    "--data-dir=" + directory.resolve("data"),
                    "--listen-kafka=" + kafka,
                    "--listen-http=127.0.0.1:0",
                    "--listen-amqp=" + amqp,
                    "--listen-sqs=" + sqs,
                    "--ready-file=" + ready))
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.appendTo(log))
                    .start();
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
            while (!Files.exists(ready)) {
                if (!process.isAlive() || System.nanoTime() > deadline) {
                    kill();
                    throw new IllegalStateException("the broker did not start:\n" + log());
                }
                Thread.sleep(10);
            }
            Matcher matcher = ADDRESS.matcher(Files.readString(ready));
            while (matcher.find()) {
                switch (matcher.group(1)) {
                    case "kafka" -> kafka = matcher.group(2);
                    case "amqp" -> amqp = matcher.group(2);
                    default -> sqs = matcher.group(2);
                }
            }
        } catch (IOException | InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    /** A clean end; its exit code must be 0. */
    void stop() {
        process.destroy();
        await();
        if (process.exitValue() != 0) {
            throw new IllegalStateException("exit code " + process.exitValue() + ":\n" + log());
        }
    }

    /** kill -9: nothing is written out first. */
    void kill() {
        process.destroyForcibly();
        await();
    }

    /** Ends it and removes its files. */
    @Override
    public void close() {
        kill();
        try (var paths = Files.walk(directory)) {
            paths.sorted((a, b) -> b.compareTo(a)).map(Path::toFile).forEach(File::delete);
        } catch (IOException error) {
            // Gone already: this runs at the end of a test and once more at the end of the JVM.
        }
    }

    private void await() {
        try {
            if (!process.waitFor(60, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new IllegalStateException("the broker did not stop:\n" + log());
            }
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    private String log() {
        try {
            String log = Files.readString(directory.resolve("log"));
            return log.substring(Math.max(0, log.length() - 4000));
        } catch (IOException error) {
            return "no log: " + error;
        }
    }
}
