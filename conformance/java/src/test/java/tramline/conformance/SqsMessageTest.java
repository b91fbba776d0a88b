package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static tramline.conformance.SqsClients.FIFO;
import static tramline.conformance.SqsClients.bodies;
import static tramline.conformance.SqsClients.numbers;
import static tramline.conformance.SqsClients.refused;
import static tramline.conformance.SqsClients.sorted;
import static tramline.conformance.SqsClients.until;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.sqs.SqsClient;
import software.amazon.awssdk.services.sqs.model.BatchEntryIdsNotDistinctException;
import software.amazon.awssdk.services.sqs.model.BatchResultErrorEntry;
import software.amazon.awssdk.services.sqs.model.ChangeMessageVisibilityBatchRequestEntry;
import software.amazon.awssdk.services.sqs.model.DeleteMessageBatchRequestEntry;
import software.amazon.awssdk.services.sqs.model.EmptyBatchRequestException;
import software.amazon.awssdk.services.sqs.model.Message;
import software.amazon.awssdk.services.sqs.model.MessageAttributeValue;
import software.amazon.awssdk.services.sqs.model.MessageSystemAttributeNameForSends;
import software.amazon.awssdk.services.sqs.model.MessageSystemAttributeValue;
import software.amazon.awssdk.services.sqs.model.QueueAttributeName;
import software.amazon.awssdk.services.sqs.model.ReceiptHandleIsInvalidException;
import software.amazon.awssdk.services.sqs.model.SendMessageBatchRequestEntry;

/** Messages by the AWS SDK, which checks their digests: one by one, in batches, in groups. */
class SqsMessageTest {
    private final SqsClients clients = new SqsClients(Broker.shared());
    private final SqsClient sqs = clients.sqs;

    @AfterEach
    void close() {
        clients.close();
    }

    private static MessageAttributeValue text(String type, String value) {
        return MessageAttributeValue.builder().dataType(type).stringValue(value).build();
    }

    @Test
    void aMessageComesBackAsItWasSent() {
        String queue = clients.declare();
        var attributes = Map.of(
                "text", text("String", "käse"),
                "number", text("Number.int", "-5"),
                "bytes", MessageAttributeValue.builder().dataType("Binary")
                        .binaryValue(SdkBytes.fromByteArray(new byte[] {0, -1, 1})).build());
        var trace = MessageSystemAttributeValue.builder().dataType("String").stringValue("Root=1").build();
        var sent = sqs.sendMessage(r -> r.queueUrl(queue).messageBody("<käse>\r\n\t\"&")
                .messageAttributes(attributes).messageSystemAttributes(
                        Map.of(MessageSystemAttributeNameForSends.AWS_TRACE_HEADER, trace)));
        Message message = clients.receive(queue, 1, 5).get(0);
        assertEquals("<käse>\r\n\t\"&", message.body());
        assertEquals(sent.messageId(), message.messageId());
        assertEquals(attributes, message.messageAttributes());
        assertEquals(sent.md5OfMessageAttributes(), message.md5OfMessageAttributes());
        assertEquals("Root=1", message.attributesAsStrings().get("AWSTraceHeader"));
        assertEquals("1", message.attributesAsStrings().get("ApproximateReceiveCount"));
        clients.delete(queue, List.of(message));
        assertEquals(List.of(), clients.receive(queue, 10, 0));
    }

    @Test
    void aWaitingReceiveIsAnsweredWhenAMessageComes() throws Exception {
        String queue = clients.declare();
        long started = System.nanoTime();
        var pool = Executors.newSingleThreadExecutor();
        var waiting = pool.submit(() -> clients.receive(queue, 1, 20));
        clients.send(queue, "late");
        assertEquals(List.of("late"), bodies(waiting.get()));
        assertTrue(System.nanoTime() - started < TimeUnit.SECONDS.toNanos(19));
        pool.shutdown();
    }

    @Test
    void anEmptyReceiveWaitsForAsLongAsItSays() {
        String queue = clients.declare();
        long started = System.nanoTime();
        assertEquals(List.of(), clients.receive(queue, 10, 1));
        assertTrue(System.nanoTime() - started >= TimeUnit.MILLISECONDS.toNanos(950));
    }

    @Test
    void aDelayedMessageComesLater() {
        String queue = clients.declare();
        long started = System.nanoTime();
        sqs.sendMessage(r -> r.queueUrl(queue).messageBody("x").delaySeconds(2));
        clients.receiveAll(queue, 1);
        assertTrue(System.nanoTime() - started >= TimeUnit.MILLISECONDS.toNanos(1950));
    }

    @Test
    void visibilityEndsAndIsChanged() {
        String queue = clients.declare(Map.of(QueueAttributeName.VISIBILITY_TIMEOUT, "1"));
        clients.send(queue, "x");
        var first = clients.receiveAll(queue, 1);
        var again = clients.receiveAll(queue, 1);
        assertNotEquals(first.get(0).receiptHandle(), again.get(0).receiptHandle());
        assertEquals("2", again.get(0).attributesAsStrings().get("ApproximateReceiveCount"));
        clients.delete(queue, again);
        assertEquals(List.of(), clients.receive(queue, 10, 2));
    }

    @Test
    void handlesThatNeverWereAreRefused() {
        String queue = clients.declare();
        assertThrows(ReceiptHandleIsInvalidException.class,
                () -> sqs.deleteMessage(r -> r.queueUrl(queue).receiptHandle("nonsense")));
    }

    private static List<SendMessageBatchRequestEntry> entries(String... bodies) {
        return Stream.of(bodies).map(body ->
                SendMessageBatchRequestEntry.builder().id("id" + body).messageBody(body).build()).toList();
    }

    @Test
    void batches() {
        String queue = clients.declare();
        var sent = sqs.sendMessageBatch(r -> r.queueUrl(queue).entries(entries(numbers(0, 10))));
        assertEquals(10, sent.successful().size());
        assertTrue(sent.failed().isEmpty());
        var out = clients.receiveAll(queue, 10);
        assertEquals(List.of(numbers(0, 10)), sorted(bodies(out)));
        var shown = out.stream().map(one ->
                ChangeMessageVisibilityBatchRequestEntry.builder()
                        .id("s" + one.body()).receiptHandle(one.receiptHandle()).visibilityTimeout(0).build());
        assertEquals(10, sqs.changeMessageVisibilityBatch(
                r -> r.queueUrl(queue).entries(shown.toList())).successful().size());
        var gone = clients.receiveAll(queue, 10).stream().map(one ->
                DeleteMessageBatchRequestEntry.builder()
                        .id("d" + one.body())
                        .receiptHandle(one.body().equals("7") ? "nonsense" : one.receiptHandle()).build());
        var deleted = sqs.deleteMessageBatch(r -> r.queueUrl(queue).entries(gone.toList()));
        assertEquals(9, deleted.successful().size());
        assertEquals("ReceiptHandleIsInvalid", deleted.failed().get(0).code());
        assertEquals("d7", deleted.failed().get(0).id());
    }

    @Test
    void someOfABatchFail() {
        String queue = clients.declare();
        var good = entries("a").get(0);
        var late = good.toBuilder().id("late").delaySeconds(901).build();
        var letters = good.toBuilder().id("letters").messageBody("b\u0001").build();
        var sent = sqs.sendMessageBatch(r -> r.queueUrl(queue).entries(good, late, letters));
        assertEquals("ida", sent.successful().get(0).id());
        assertEquals(List.of("late", "letters"),
                sent.failed().stream().map(BatchResultErrorEntry::id).toList());
        assertTrue(sent.failed().stream().allMatch(BatchResultErrorEntry::senderFault));
        assertEquals(List.of("a"), bodies(clients.receiveAll(queue, 1)));
    }

    @Test
    void wrongBatchesAreRefusedWhole() {
        String queue = clients.declare();
        assertThrows(EmptyBatchRequestException.class,
                () -> sqs.sendMessageBatch(r -> r.queueUrl(queue).entries(List.of())));
        assertThrows(BatchEntryIdsNotDistinctException.class,
                () -> sqs.sendMessageBatch(r -> r.queueUrl(queue).entries(entries("a", "a"))));
        String prefix = "AWS.SimpleQueueService.";
        refused(prefix + "TooManyEntriesInBatchRequest",
                () -> sqs.sendMessageBatch(r -> r.queueUrl(queue).entries(entries(numbers(0, 11)))));
        refused(prefix + "InvalidBatchEntryId",
                () -> sqs.sendMessageBatch(r -> r.queueUrl(queue).entries(entries("a b"))));
        var large = entries("a", "b").stream()
                .map(one -> one.toBuilder().messageBody("x".repeat(600_000)).build()).toList();
        refused(prefix + "BatchRequestTooLong",
                () -> sqs.sendMessageBatch(r -> r.queueUrl(queue).entries(large)));
    }

    @Test
    void aMessageOfAMebibyte() {
        String queue = clients.declare();
        String body = "x".repeat(1 << 20);
        clients.send(queue, body);
        assertArrayEquals(body.getBytes(), clients.receiveAll(queue, 1).get(0).body().getBytes());
        refused("InvalidParameterValue", () -> clients.send(queue, body + "x"));
    }

    @Test
    void purge() {
        String queue = clients.declare();
        clients.send(queue, numbers(0, 5));
        sqs.purgeQueue(r -> r.queueUrl(queue));
        until("an empty queue", () -> clients.attribute(
                queue, QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES).equals("0"));
    }

    @Test
    void groupsKeepTheirOrder() {
        String queue = clients.declare(FIFO);
        for (String n : numbers(0, 12)) {
            clients.sendTo(queue, "a", "a" + n);
            clients.sendTo(queue, "b", "b" + n);
        }
        Map<String, List<String>> found = Map.of("a", new ArrayList<>(), "b", new ArrayList<>());
        until("all messages", () -> {
            var messages = clients.receive(queue, 3, 1);
            bodies(messages).forEach(body -> found.get(body.substring(0, 1)).add(body.substring(1)));
            clients.delete(queue, messages);
            return found.get("a").size() + found.get("b").size() == 24;
        });
        assertEquals(List.of(numbers(0, 12)), found.get("a"));
        assertEquals(List.of(numbers(0, 12)), found.get("b"));
    }

    @Test
    void aGroupWaitsWhileOneOfItIsOut() {
        String queue = clients.declare(FIFO);
        clients.sendTo(queue, "g", "1", "2");
        var first = clients.receive(queue, 1, 5);
        assertEquals(List.of(), clients.receive(queue, 10, 0));
        clients.show(queue, first, 0);
        assertEquals("1", clients.receiveAll(queue, 1).get(0).body());
    }

    @Test
    void repeatsAreAcceptedAndNotDelivered() {
        String queue = clients.declare(FIFO);
        clients.sendTo(queue, "g", "x", "x", "y", "x");
        var messages = clients.receiveAll(queue, 2);
        assertEquals(List.of("x", "y"), bodies(messages));
        clients.delete(queue, messages);
        clients.sendTo(queue, "g", "x", "z");
        assertEquals(List.of("z"), bodies(clients.receiveAll(queue, 1)));
    }

    @Test
    void whatFifoQueuesAskFor() {
        String queue = clients.declare(FIFO);
        refused("MissingParameter", () -> clients.send(queue, "x"));
        refused("InvalidParameterValue", () -> sqs.sendMessage(
                r -> r.queueUrl(queue).messageBody("x").messageGroupId("g").delaySeconds(1)));
        String plain = clients.declare();
        refused("InvalidParameterValue", () -> sqs.sendMessage(
                r -> r.queueUrl(plain).messageBody("x").messageDeduplicationId("d")));
    }
}
