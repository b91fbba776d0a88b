package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static tramline.conformance.SqsClients.FIFO;
import static tramline.conformance.SqsClients.bodies;
import static tramline.conformance.SqsClients.name;
import static tramline.conformance.SqsClients.numbers;
import static tramline.conformance.SqsClients.refused;
import static tramline.conformance.SqsClients.sorted;
import static tramline.conformance.SqsClients.until;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import software.amazon.awssdk.services.sqs.SqsClient;
import software.amazon.awssdk.services.sqs.model.OverLimitException;
import software.amazon.awssdk.services.sqs.model.QueueAttributeName;
import software.amazon.awssdk.services.sqs.model.QueueDoesNotExistException;
import software.amazon.awssdk.services.sqs.model.QueueNameExistsException;
import software.amazon.awssdk.services.sqs.model.ResourceNotFoundException;

/** Queues by the AWS SDK: their names, attributes, tags, permissions, dead letters, move tasks. */
class SqsQueueTest {
    private static final String PREFIX = "AWS.SimpleQueueService.";
    private final Broker broker = Broker.shared();
    private final SqsClients clients = new SqsClients(broker);
    private final SqsClient sqs = clients.sqs;

    @AfterEach
    void close() {
        clients.close();
    }

    @Test
    void aQueueIsMadeFoundListedAndDeleted() {
        String name = name();
        String url = sqs.createQueue(r -> r.queueName(name)).queueUrl();
        assertEquals("http://" + broker.sqs() + "/000000000000/" + name, url);
        assertEquals(url, sqs.getQueueUrl(r -> r.queueName(name)).queueUrl());
        assertEquals(List.of(url), sqs.listQueues(r -> r.queueNamePrefix(name)).queueUrls());
        sqs.deleteQueue(r -> r.queueUrl(url));
        assertTrue(sqs.listQueues(r -> r.queueNamePrefix(name)).queueUrls().isEmpty());
        var gone = assertThrows(
                QueueDoesNotExistException.class, () -> sqs.getQueueUrl(r -> r.queueName(name)));
        assertEquals(PREFIX + "NonExistentQueue", gone.awsErrorDetails().errorCode());
        assertEquals("The specified queue does not exist.", gone.awsErrorDetails().errorMessage());
        assertEquals(400, gone.statusCode());
    }

    @Test
    void theSameQueueAgainIsThatQueueAndAnotherIsRefused() {
        String name = name();
        var delay = QueueAttributeName.DELAY_SECONDS;
        String url = sqs.createQueue(r -> r.queueName(name).attributes(Map.of(delay, "1"))).queueUrl();
        var same = sqs.createQueue(r -> r.queueName(name).attributes(Map.of(delay, "1")));
        assertEquals(url, same.queueUrl());
        assertThrows(QueueNameExistsException.class,
                () -> sqs.createQueue(r -> r.queueName(name).attributes(Map.of(delay, "2"))));
    }

    @Test
    void wrongNamesAreRefused() {
        for (String name : List.of("a b", "a.b", "x".repeat(81), "q.fifo")) {
            refused("InvalidParameterValue", () -> sqs.createQueue(r -> r.queueName(name)));
        }
    }

    @Test
    void queuesAreListedInPages() {
        String prefix = name();
        List<String> made = new ArrayList<>();
        for (String n : numbers(0, 5)) {
            made.add(sqs.createQueue(r -> r.queueName(prefix + n)).queueUrl());
        }
        var pages = sqs.listQueuesPaginator(r -> r.queueNamePrefix(prefix).maxResults(2));
        assertEquals(made, pages.queueUrls().stream().toList());
        assertTrue(pages.stream().allMatch(page -> page.queueUrls().size() <= 2));
    }

    @Test
    void everyAttributeThatCanBeSetIsSetAndTold() {
        String queue = clients.declare(FIFO);
        Map<QueueAttributeName, String> wanted = Map.of(
                QueueAttributeName.DELAY_SECONDS, "7",
                QueueAttributeName.MAXIMUM_MESSAGE_SIZE, "2048",
                QueueAttributeName.MESSAGE_RETENTION_PERIOD, "60",
                QueueAttributeName.RECEIVE_MESSAGE_WAIT_TIME_SECONDS, "3",
                QueueAttributeName.VISIBILITY_TIMEOUT, "40",
                QueueAttributeName.DEDUPLICATION_SCOPE, "messageGroup",
                QueueAttributeName.FIFO_THROUGHPUT_LIMIT, "perMessageGroupId",
                QueueAttributeName.KMS_MASTER_KEY_ID, "alias/mine",
                QueueAttributeName.POLICY, "{\"Version\":\"2012-10-17\",\"Statement\":[]}",
                QueueAttributeName.REDRIVE_ALLOW_POLICY, "{\"redrivePermission\":\"denyAll\"}");
        sqs.setQueueAttributes(r -> r.queueUrl(queue).attributes(wanted));
        var all = sqs.getQueueAttributes(
                r -> r.queueUrl(queue).attributeNames(QueueAttributeName.ALL)).attributes();
        wanted.forEach((name, value) -> assertEquals(value, all.get(name), name.toString()));
        Map.of("DelaySeconds", "InvalidAttributeValue", "QueueArn", "InvalidAttributeName",
                "NoSuchThing", "InvalidAttributeName").forEach((name, code) -> refused(code,
                        () -> sqs.setQueueAttributes(
                                r -> r.queueUrl(queue).attributesWithStrings(Map.of(name, "x")))));
    }

    @Test
    void tags() {
        String name = name();
        String queue = sqs.createQueue(
                r -> r.queueName(name).tags(Map.of("team", "a", "cost", "1 €"))).queueUrl();
        sqs.tagQueue(r -> r.queueUrl(queue).tags(Map.of("team", "b")));
        sqs.untagQueue(r -> r.queueUrl(queue).tagKeys("cost"));
        assertEquals(Map.of("team", "b"), sqs.listQueueTags(r -> r.queueUrl(queue)).tags());
    }

    @Test
    void permissions() {
        String queue = clients.declare();
        Runnable add = () -> sqs.addPermission(r -> r.queueUrl(queue).label("one")
                .awsAccountIds("111122223333").actions("SendMessage"));
        add.run();
        assertTrue(clients.attribute(queue, QueueAttributeName.POLICY).contains("\"Sid\":\"one\""));
        refused("InvalidParameterValue", add::run);
        assertThrows(OverLimitException.class, () -> sqs.addPermission(r -> r.queueUrl(queue)
                .label("many").awsAccountIds("111122223333").actions(numbers(0, 8))));
        sqs.removePermission(r -> r.queueUrl(queue).label("one"));
        assertNull(clients.attribute(queue, QueueAttributeName.POLICY));
    }

    @Test
    void aKeyOfTwelveDigitsIsAnAccountOfItsOwn() {
        try (SqsClients other = new SqsClients(broker, "111122223333")) {
            String name = name();
            String url = other.sqs.createQueue(r -> r.queueName(name)).queueUrl();
            assertThrows(
                    QueueDoesNotExistException.class, () -> sqs.getQueueUrl(r -> r.queueName(name)));
            assertEquals(url, sqs.getQueueUrl(
                    r -> r.queueName(name).queueOwnerAWSAccountId("111122223333")).queueUrl());
        }
    }

    @Test
    void aQueueThatIsNotThereIsAnExceptionOfItsOwn() {
        String queue = "http://" + broker.sqs() + "/000000000000/" + name();
        for (Executable call : List.<Executable>of(
                () -> sqs.sendMessage(r -> r.queueUrl(queue).messageBody("x")),
                () -> sqs.receiveMessage(r -> r.queueUrl(queue)),
                () -> sqs.deleteMessage(r -> r.queueUrl(queue).receiptHandle("x")),
                () -> sqs.purgeQueue(r -> r.queueUrl(queue)),
                () -> sqs.listQueueTags(r -> r.queueUrl(queue)),
                () -> sqs.deleteQueue(r -> r.queueUrl(queue)))) {
            assertThrows(QueueDoesNotExistException.class, call);
        }
    }

    /** A dead-letter queue. */
    private record Dead(String source, String queue, String arn) {}

    private Dead dying(int maxReceives) {
        String queue = clients.declare();
        String arn = clients.attribute(queue, QueueAttributeName.QUEUE_ARN);
        String policy = "{\"deadLetterTargetArn\":\"" + arn + "\",\"maxReceiveCount\":" + maxReceives + "}";
        return new Dead(clients.declare(Map.of(QueueAttributeName.REDRIVE_POLICY, policy)), queue, arn);
    }

    private Dead dead(int n) {
        Dead dead = dying(1);
        clients.send(dead.source, numbers(0, n));
        clients.show(dead.source, clients.receiveAll(dead.source, n), 0);
        until("dead letters", () -> clients.attribute(
                dead.queue, QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES).equals("" + n));
        return dead;
    }

    private void ended(String arn, String status) {
        until(status, () -> sqs.listMessageMoveTasks(r -> r.sourceArn(arn)).results().get(0).status()
                .equals(status));
    }

    @Test
    void aMessageThatIsReceivedTooOftenMoves() {
        Dead dead = dying(2);
        clients.send(dead.source, "x");
        for (int n = 0; n < 2; n++) {
            clients.show(dead.source, clients.receiveAll(dead.source, 1), 0);
        }
        var moved = clients.receiveAll(dead.queue, 1).get(0);
        String source = clients.attribute(dead.source, QueueAttributeName.QUEUE_ARN);
        assertEquals(source, moved.attributesAsStrings().get("DeadLetterQueueSourceArn"));
        var sources = sqs.listDeadLetterSourceQueuesPaginator(r -> r.queueUrl(dead.queue));
        assertEquals(List.of(dead.source), sources.queueUrls().stream().toList());
    }

    @Test
    void deadLettersGoBack() {
        Dead dead = dead(4);
        sqs.startMessageMoveTask(r -> r.sourceArn(dead.arn));
        ended(dead.arn, "COMPLETED");
        assertEquals(List.of(numbers(0, 4)), sorted(bodies(clients.receiveAll(dead.source, 4))));
        assertEquals(4L, sqs.listMessageMoveTasks(r -> r.sourceArn(dead.arn)).results().get(0)
                .approximateNumberOfMessagesMoved());
    }

    @Test
    void aMoveTaskIsCancelled() {
        Dead dead = dead(20);
        String handle = sqs.startMessageMoveTask(
                r -> r.sourceArn(dead.arn).maxNumberOfMessagesPerSecond(1)).taskHandle();
        refused(PREFIX + "UnsupportedOperation",
                () -> sqs.startMessageMoveTask(r -> r.sourceArn(dead.arn)));
        sqs.cancelMessageMoveTask(r -> r.taskHandle(handle));
        ended(dead.arn, "CANCELLED");
        assertThrows(ResourceNotFoundException.class,
                () -> sqs.startMessageMoveTask(r -> r.sourceArn(dead.arn + "-not")));
    }
}
