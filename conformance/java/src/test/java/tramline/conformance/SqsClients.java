package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.function.Executable;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.sqs.SqsClient;
import software.amazon.awssdk.services.sqs.model.Message;
import software.amazon.awssdk.services.sqs.model.MessageSystemAttributeName;
import software.amazon.awssdk.services.sqs.model.QueueAttributeName;
import software.amazon.awssdk.services.sqs.model.SqsException;

/** The AWS SDK's client of one broker, with queues of the test's own, and waiting. */
final class SqsClients implements AutoCloseable {
    static final Map<QueueAttributeName, String> FIFO = Map.of(
            QueueAttributeName.FIFO_QUEUE, "true",
            QueueAttributeName.CONTENT_BASED_DEDUPLICATION, "true");

    final SqsClient sqs;

    SqsClients(Broker broker) {
        this(broker, "test");
    }

    SqsClients(Broker broker, String key) {
        sqs = SqsClient.builder()
                .endpointOverride(URI.create("http://" + broker.sqs()))
                .region(Region.US_EAST_1)
                .credentialsProvider(
                        StaticCredentialsProvider.create(AwsBasicCredentials.create(key, "secret")))
                .httpClient(UrlConnectionHttpClient.create())
                .build();
    }

    @Override
    public void close() {
        sqs.close();
    }

    static String name() {
        return "q-" + UUID.randomUUID();
    }

    String declare(Map<QueueAttributeName, String> attributes) {
        String name = name() + (attributes.containsKey(QueueAttributeName.FIFO_QUEUE) ? ".fifo" : "");
        return sqs.createQueue(r -> r.queueName(name).attributes(attributes)).queueUrl();
    }

    String declare() {
        return declare(Map.of());
    }

    void send(String queue, String... bodies) {
        for (String body : bodies) {
            sqs.sendMessage(r -> r.queueUrl(queue).messageBody(body));
        }
    }

    void sendTo(String queue, String group, String... bodies) {
        for (String body : bodies) {
            sqs.sendMessage(r -> r.queueUrl(queue).messageBody(body).messageGroupId(group));
        }
    }

    /** One receive. */
    List<Message> receive(String queue, int max, int wait) {
        return sqs.receiveMessage(r -> r.queueUrl(queue).maxNumberOfMessages(max).waitTimeSeconds(wait)
                .messageAttributeNames("All")
                .messageSystemAttributeNames(MessageSystemAttributeName.ALL)).messages();
    }

    /** Receives until there are so many. */
    List<Message> receiveAll(String queue, int n) {
        List<Message> messages = new ArrayList<>();
        until(n + " messages", () -> {
            messages.addAll(receive(queue, 10, 1));
            return messages.size() >= n;
        });
        return messages;
    }

    void delete(String queue, List<Message> messages) {
        for (Message message : messages) {
            sqs.deleteMessage(r -> r.queueUrl(queue).receiptHandle(message.receiptHandle()));
        }
    }

    void show(String queue, List<Message> messages, int seconds) {
        for (Message message : messages) {
            sqs.changeMessageVisibility(r -> r.queueUrl(queue).receiptHandle(message.receiptHandle())
                    .visibilityTimeout(seconds));
        }
    }

    String attribute(String queue, QueueAttributeName name) {
        return sqs.getQueueAttributes(r -> r.queueUrl(queue).attributeNames(name)).attributes().get(name);
    }

    static List<String> bodies(List<Message> messages) {
        return messages.stream().map(Message::body).toList();
    }

    static List<String> sorted(List<String> numbers) {
        return numbers.stream().map(Integer::valueOf).sorted().map(String::valueOf).toList();
    }

    static String[] numbers(int from, int to) {
        return IntStream.range(from, to).mapToObj(String::valueOf).toArray(String[]::new);
    }

    static void until(String what, Callable<Boolean> holds) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(50);
        try {
            while (!holds.call()) {
                assertTrue(System.nanoTime() < deadline, what + " does not come to be");
                Thread.sleep(20);
            }
        } catch (RuntimeException error) {
            throw error;
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    /** The code with which something is refused. */
    static void refused(String code, Executable call) {
        SqsException error = assertThrows(SqsException.class, call);
        assertEquals(code, error.awsErrorDetails().errorCode(), error.getMessage());
    }
}
