package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.connect.cli.ConnectDistributed;
import org.apache.kafka.connect.runtime.Connect;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A distributed Kafka Connect worker, as Debezium runs on: its configurations, source offsets and
 * states lie in compacted topics, from which a worker reads them when it starts.
 */
@Timeout(300)
class ConnectTest {
    /** A worker needs 3 s to be there, and 43 s on a machine that is busy with other things. */
    private static final int SECONDS = 100;
    private static final List<String> TOPICS = List.of("connect-configs", "connect-offsets", "connect-status");

    @TempDir
    Path files;

    private final HttpClient http = HttpClient.newHttpClient();
    private Broker broker;
    private Clients clients;
    private Connect<?> worker;
    private String answer = "none yet";

    @BeforeEach
    void open() {
        broker = Broker.own();
        clients = new Clients(broker);
        worker = startWorker();
    }

    @AfterEach
    void close() throws Exception {
        stopWorker();
        clients.close();
        broker.close();
    }

    private Connect<?> startWorker() {
        var settings = new HashMap<String, String>();
        settings.put("bootstrap.servers", broker.kafka());
        settings.put("group.id", "connect");
        settings.put("listeners", "http://127.0.0.1:0");
        settings.put("key.converter", "org.apache.kafka.connect.storage.StringConverter");
        settings.put("value.converter", "org.apache.kafka.connect.storage.StringConverter");
        settings.put("config.storage.topic", TOPICS.get(0));
        settings.put("offset.storage.topic", TOPICS.get(1));
        settings.put("status.storage.topic", TOPICS.get(2));
        settings.put("config.storage.replication.factor", "1");
        settings.put("offset.storage.replication.factor", "1");
        settings.put("status.storage.replication.factor", "1");
        settings.put("offset.flush.interval.ms", "300");
        settings.put("scheduled.rebalance.max.delay.ms", "0");
        settings.put("session.timeout.ms", "6000");
        settings.put("heartbeat.interval.ms", "500");
        settings.put("rebalance.timeout.ms", "6000");
        settings.put("consumer.auto.offset.reset", "earliest");
        settings.put("consumer.metadata.max.age.ms", "1000");
        settings.put("reconnect.backoff.max.ms", "200");
        settings.put("plugin.discovery", "service_load");
        return new ConnectDistributed().startConnect(settings);
    }

    private void stopWorker() {
        worker.stop();
        worker.awaitStop();
    }

    private void restart(String how) {
        if (how.equals("kill")) {
            broker.kill();
        } else {
            broker.stop();
        }
        broker.start();
    }

    /** The answer of the worker's own API, or nothing while it is not ready. */
    private String call(String method, String path, String body) {
        try {
            var address = worker.rest().advertisedUrl().resolve(path);
            var request = HttpRequest.newBuilder(URI.create(address.toString()))
                    .timeout(Duration.ofSeconds(10))
                    .header("Content-Type", "application/json")
                    .method(method, HttpRequest.BodyPublishers.ofString(body))
                    .build();
            var response = http.send(request, HttpResponse.BodyHandlers.ofString());
            answer = method + " " + path + ": " + response.statusCode() + " " + response.body();
            return response.statusCode() < 300 ? "ok " + response.body() : "";
        } catch (java.io.IOException error) {
            answer = method + " " + path + ": " + error;
            return "";
        } catch (InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    /** As in `Clients`, and tells how the worker answered last. */
    private void until(BooleanSupplier holds) {
        try {
            Clients.until(SECONDS, holds);
        } catch (AssertionError error) {
            throw new AssertionError("the worker's last answer: " + answer, error);
        }
    }

    private void create(String name, String kind, String topics, Path file) {
        var body = """
                {"connector.class": "FileStream%s", "tasks.max": "1", "%s": "%s", "file": "%s"}"""
                .formatted(kind, kind.equals("Source") ? "topic" : "topics", topics, file);
        until(() -> call("PUT", "/connectors/" + name + "/config", body).startsWith("ok"));
        until(() -> isRunning(name));
    }

    private boolean isRunning(String name) {
        var status = call("GET", "/connectors/" + name + "/status", "");
        return status.contains("\"tasks\":[{\"id\":0,\"state\":\"RUNNING\"");
    }

    private static void write(Path file, int from, int to) throws Exception {
        Files.write(file, Clients.numbers(from, to), StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    private boolean areThere() {
        try {
            return Clients.get(clients.admin().listTopics().names()).containsAll(TOPICS);
        } catch (ExecutionException error) {
            throw new AssertionError(error);
        }
    }

    @Test
    void itsTopicsAreCompacted() throws Exception {
        // A worker answers before it has made them.
        until(this::areThere);
        for (var topic : TOPICS) {
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            var config = Clients.get(clients.admin().describeConfigs(List.of(resource)).all()).get(resource);
            assertEquals("compact", config.get("cleanup.policy").value(), topic);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"stop", "kill"})
    void aSourceResumesWhereItWasOverARestartOfBrokerAndWorker(String how) throws Exception {
        var file = files.resolve("in");
        var topic = clients.createTopic(1);
        write(file, 0, 100);
        create("source", "Source", topic, file);
        until(() -> end(topic) == 100);
        Thread.sleep(1000); // Its offsets are written every 300 ms.
        stopWorker();
        restart(how);
        write(file, 100, 150);
        worker = startWorker();
        until(() -> isRunning("source")); // From its configuration in the topic.
        assertEquals(Clients.numbers(0, 150), Clients.values(Clients.read(clients.reader(topic, 0), 150)));
    }

    private long end(String topic) {
        var partition = new org.apache.kafka.common.TopicPartition(topic, 0);
        var reader = clients.consumer(null);
        try {
            return reader.endOffsets(List.of(partition)).get(partition);
        } finally {
            reader.close();
        }
    }

    @Test
    void aRunningWorkerGoesOnOverKill9OfTheBroker() throws Exception {
        var in = files.resolve("in");
        var topic = clients.createTopic(1);
        write(in, 0, 100);
        create("source", "Source", topic, in);
        until(() -> end(topic) >= 100);
        restart("kill");
        write(in, 100, 150);
        until(() -> end(topic) >= 150);
        var all = Clients.values(Clients.read(clients.reader(topic, 0), (int) end(topic)));
        assertTrue(all.containsAll(Clients.numbers(0, 150)), "a line is missing");
    }

    @Test
    void aSinkWritesWhatComesAndCommitsItsPosition() throws Exception {
        var out = files.resolve("out");
        var topic = clients.createTopic(1);
        var producer = clients.producer();
        Clients.sendEach(producer, 0, 100, n -> new ProducerRecord<>(topic, "" + n));
        create("sink", "Sink", topic, out);
        until(() -> lines(out).equals(Clients.numbers(0, 100)));
        until(() -> hasCommitted("connect-sink", topic, 100));
    }

    private boolean hasCommitted(String group, String topic, long offset) {
        try {
            var found = Clients.get(clients.admin().listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
            var committed = found.get(new org.apache.kafka.common.TopicPartition(topic, 0));
            return committed != null && committed.offset() == offset;
        } catch (java.util.concurrent.ExecutionException error) {
            throw new AssertionError(error);
        }
    }

    private static List<String> lines(Path file) {
        try {
            return Files.exists(file) ? Files.readAllLines(file) : List.of();
        } catch (java.io.IOException error) {
            throw new AssertionError(error);
        }
    }

    @Test
    void aRemovedConnectorStaysRemoved() throws Exception {
        var file = files.resolve("in");
        write(file, 0, 10);
        create("source", "Source", clients.createTopic(1), file);
        until(() -> call("DELETE", "/connectors/source", "").startsWith("ok"));
        stopWorker();
        restart("kill");
        worker = startWorker();
        until(() -> call("GET", "/connectors", "").equals("ok []"));
        assertEquals("", call("GET", "/connectors/source/status", ""));
    }
}
