package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static tramline.conformance.AmqpClients.closedWith;
import static tramline.conformance.AmqpClients.consume;
import static tramline.conformance.AmqpClients.declare;
import static tramline.conformance.AmqpClients.drain;
import static tramline.conformance.AmqpClients.exchange;
import static tramline.conformance.AmqpClients.get;
import static tramline.conformance.AmqpClients.name;
import static tramline.conformance.AmqpClients.numbers;
import static tramline.conformance.AmqpClients.publish;
import static tramline.conformance.AmqpClients.refused;
import static tramline.conformance.AmqpClients.send;
import static tramline.conformance.AmqpClients.until;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcClientParams;
import com.rabbitmq.client.RpcServer;
import java.math.BigDecimal;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** RabbitMQ's client: publishing, consuming, settling, and what is refused. */
class AmqpMessageTest {
    private final AmqpClients clients = new AmqpClients(Broker.shared());

    @AfterEach
    void close() {
        clients.close();
    }

    @Test
    void propertiesAndHeadersComeBackAsTheyWereSent() throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel);
        Map<String, Object> headers = new HashMap<>();
        headers.put("bool", true);
        headers.put("byte", (byte) -8);
        headers.put("short", (short) -16);
        headers.put("int", -32);
        headers.put("long", -64L);
        headers.put("float", 1.5f);
        headers.put("double", 2.25);
        headers.put("decimal", new BigDecimal("123.45"));
        headers.put("date", new Date(1_700_000_000_000L));
        headers.put("null", null);
        headers.put("list", List.of(1, 2L, true));
        headers.put("table", Map.of("inner", Map.of("deep", 7)));
        var sent = new AMQP.BasicProperties("text/plain", "utf-8", headers, 2, 3, "correlation",
                "reply", "60000", "message", new Date(1_700_000_000_000L), "type", "guest", "app",
                "cluster");
        channel.basicPublish("", queue, sent, "body".getBytes());
        channel.basicPublish("", queue, AmqpClients.headers(Map.of("text", "käse")), new byte[0]);
        var got = get(channel, queue, true).getProps();
        assertEquals(sent, got);
        assertEquals("käse", get(channel, queue, true).getProps().getHeaders().get("text").toString());
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 131_063, 131_064, 131_065, 10_000_000})
    void bodiesOfEverySize(int size) throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel);
        byte[] body = new byte[size];
        new Random(size).nextBytes(body);
        channel.basicPublish("", queue, null, body);
        assertArrayEquals(body, get(channel, queue, true).getBody());
    }

    @Test
    void everyPublishIsConfirmed() throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel);
        channel.confirmSelect();
        assertEquals(1, channel.getNextPublishSeqNo());
        var acked = new LinkedBlockingQueue<Long>();
        channel.addConfirmListener((tag, multiple) -> acked.add(tag), (tag, multiple) -> acked.add(-tag));
        for (String body : numbers(0, 1000)) {
            publish(channel, "", queue, body);
        }
        channel.waitForConfirmsOrDie(60_000);
        assertTrue(acked.stream().allMatch(tag -> tag > 0));
        assertEquals(List.of(numbers(0, 1000)), drain(channel, queue));
    }

    @Test
    void aFullQueueRefuses() throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel, Map.of("x-max-length", 1, "x-overflow", "reject-publish"));
        channel.confirmSelect();
        publish(channel, "", queue, "kept");
        assertTrue(channel.waitForConfirms(60_000));
        publish(channel, "", queue, "refused");
        assertTrue(!channel.waitForConfirms(60_000));
        assertEquals(List.of("kept"), drain(channel, queue));
    }

    @Test
    void mandatoryMessagesComeBack() throws Exception {
        Channel channel = clients.channel();
        var returned = new LinkedBlockingQueue<String>();
        channel.addReturnListener(back -> returned.add(back.getReplyCode() + back.getReplyText()
                + new String(back.getBody())));
        channel.basicPublish("", name(), true, null, "lost".getBytes());
        assertEquals("312NO_ROUTElost", returned.poll(60, TimeUnit.SECONDS));
    }

    @Test
    void aTransactionIsAllOrNothing() throws Exception {
        Channel channel = clients.channel();
        Channel other = clients.channel();
        String source = declare(channel);
        String target = declare(channel);
        send(channel, source, "work");
        channel.txSelect();
        long work = get(channel, source, false).getEnvelope().getDeliveryTag();
        send(channel, target, "result");
        channel.basicAck(work, false);
        channel.txRollback();
        assertEquals(0, other.messageCount(target));
        send(channel, target, "result");
        channel.basicAck(work, false);
        assertEquals(0, other.messageCount(target));
        channel.txCommit();
        channel.close();
        assertEquals(List.of("result"), drain(other, target));
        assertEquals(List.of(), drain(other, source));
    }

    @Test
    void deliveriesComeInOrderAndAreAcknowledged() throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel);
        var collector = consume(channel, queue, false);
        send(channel, queue, numbers(0, 300));
        for (String body : numbers(0, 300)) {
            Delivery delivery = collector.next();
            assertEquals(body, new String(delivery.getBody()));
            if (body.endsWith("99")) {
                channel.basicAck(delivery.getEnvelope().getDeliveryTag(), true);
            }
        }
        channel.close();
        assertEquals(List.of(), drain(clients.channel(), queue));
    }

    @Test
    void whatIsOutReturnsInOrder() throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel);
        send(channel, queue, "a", "b");
        var first = consume(channel, queue, false);
        first.next();
        first.next();
        channel.basicRecover(true);
        assertTrue(first.next().getEnvelope().isRedeliver());
        first.next();
        channel.close();
        var again = consume(clients.channel(), queue, false);
        for (String body : List.of("a", "b")) {
            Delivery delivery = again.next();
            assertEquals(body, new String(delivery.getBody()));
            assertTrue(delivery.getEnvelope().isRedeliver());
        }
    }

    @Test
    void nackAndReject() throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel);
        send(channel, queue, "a", "b", "c", "d");
        long[] tags = new long[4];
        for (int n = 0; n < 4; n++) {
            tags[n] = get(channel, queue, false).getEnvelope().getDeliveryTag();
        }
        channel.basicReject(tags[0], true);
        channel.basicReject(tags[1], false);
        channel.basicNack(tags[3], true, true);
        assertEquals(List.of("a", "c", "d"), drain(channel, queue));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void prefetch(boolean global) throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel);
        send(channel, queue, numbers(0, 10));
        channel.basicQos(2, global);
        var one = consume(channel, queue, false);
        var two = consume(channel, queue, false);
        int most = global ? 2 : 4;
        until("deliveries", () -> one.deliveries.size() + two.deliveries.size() == most);
        Thread.sleep(200);
        assertEquals(most, one.deliveries.size() + two.deliveries.size());
        one.ack(one.deliveries.isEmpty() ? two.next() : one.next());
        until("credit", () -> one.deliveries.size() + two.deliveries.size() == most);
    }

    @Test
    void consumersAreCancelledFromEitherSide() throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel);
        var mine = consume(channel, queue, false);
        channel.basicCancel(mine.tag);
        send(channel, queue, "a");
        mine.nothing();
        var theirs = consume(channel, queue, false);
        theirs.next();
        clients.channel().queueDelete(queue);
        assertEquals(theirs.tag, theirs.cancelled.poll(60, TimeUnit.SECONDS));
    }

    @Test
    void exclusiveAndSingleActiveConsumers() throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel);
        channel.basicConsume(queue, false, "alone", false, true, null, new AmqpClients.Collector(channel));
        refused(403, () -> consume(clients.channel(), queue, false));
        String single = declare(channel, Map.of("x-single-active-consumer", true));
        var active = consume(channel, single, true);
        var next = consume(channel, single, true);
        send(channel, single, "a");
        assertEquals("a", active.nextBody());
        next.nothing();
        channel.basicCancel(active.tag);
        send(channel, single, "b");
        assertEquals("b", next.nextBody());
    }

    @Test
    void aConsumerOfAHigherPriorityComesFirst() throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel);
        channel.basicQos(1);
        var low = consume(channel, queue, false);
        var high = consume(channel, queue, false, Map.of("x-priority", 5));
        send(channel, queue, "a");
        assertEquals("a", high.nextBody());
        send(channel, queue, "b");
        assertEquals("b", low.nextBody());
    }

    @Test
    void directReplyTo() throws Exception {
        Channel server = clients.channel();
        String queue = declare(server);
        RpcServer serving = new RpcServer(server, queue) {
            @Override
            public byte[] handleCall(Delivery request, AMQP.BasicProperties properties) {
                return ("re: " + new String(request.getBody())).getBytes();
            }
        };
        Thread thread = new Thread(() -> {
            try {
                serving.mainloop();
            } catch (Exception ended) {
                // The test is over.
            }
        });
        thread.setDaemon(true);
        thread.start();
        RpcClientParams params = new RpcClientParams().channel(clients.channel())
                .exchange("").routingKey(queue).replyTo("amq.rabbitmq.reply-to").timeout(60_000);
        try (RpcClient client = new RpcClient(params)) {
            for (String body : numbers(0, 50)) {
                assertEquals("re: " + body, client.stringCall(body));
            }
        }
    }

    @Test
    void errorsOfAChannelLeaveItsConnection() throws Exception {
        Connection connection = clients.connect();
        String queue = declare(connection.createChannel());
        refused(404, () -> connection.createChannel().queueDeclarePassive(name()));
        refused(404, () -> connection.createChannel().exchangeDeclarePassive(name()));
        refused(404, () -> connection.createChannel().basicGet(name(), true));
        refused(404, () -> connection.createChannel().queuePurge(name()));
        refused(404, () -> consume(connection.createChannel(), name(), true));
        refused(404, () -> connection.createChannel().queueBind(queue, name(), ""));
        refused(403, () -> connection.createChannel().queueBind(queue, "", "k"));
        refused(403, () -> connection.createChannel().exchangeDeclare("amq.mine", "direct"));
        refused(403, () -> connection.createChannel().queueDeclare("amq.mine", true, false, false, null));
        refused(406, () -> connection.createChannel().exchangeDeclare(name(), "odd"));
        refused(406, () -> connection.createChannel().exchangeDeclare("amq.topic", "direct", true));
        refused(406, () -> connection.createChannel().queueDeclare(queue, false, false, false, null));
        refused(406, () -> connection.createChannel()
                .queueDeclare(queue, true, false, false, Map.of("x-max-length", 1)));
        refused(406, () -> connection.createChannel()
                .queueDeclare(name(), true, false, false, Map.of("x-message-ttl", "soon")));
        assertTrue(connection.isOpen());
    }

    @Test
    void errorsThatComeLater() throws Exception {
        Connection connection = clients.connect();
        Channel unknownTag = connection.createChannel();
        unknownTag.basicAck(7, false);
        assertEquals(406, closedWith(unknownTag));
        Channel unknownExchange = connection.createChannel();
        publish(unknownExchange, name(), "", "m");
        assertEquals(404, closedWith(unknownExchange));
        Channel wrongUser = connection.createChannel();
        var properties = new AMQP.BasicProperties.Builder().userId("somebody").build();
        wrongUser.basicPublish("", "x", properties, new byte[0]);
        assertEquals(406, closedWith(wrongUser));
        assertTrue(connection.isOpen());
        Channel immediate = connection.createChannel();
        immediate.basicPublish("", "x", false, true, null, new byte[0]);
        until("close", () -> !connection.isOpen());
        assertEquals(540, AmqpClients.code(connection.getCloseReason()));
        assertThrows(Exception.class, connection::createChannel);
    }

    @Test
    void aMessageThatReachesAQueueInManyWaysComesOnce() throws Exception {
        Channel channel = clients.channel();
        String from = exchange(channel, "topic");
        String queue = declare(channel);
        for (String pattern : List.of("#", "a.*", "a.b", "*.b")) {
            channel.queueBind(queue, from, pattern);
        }
        publish(channel, from, "a.b", "once");
        assertEquals(List.of("once"), drain(channel, queue));
    }
}
