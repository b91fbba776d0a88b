package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static tramline.conformance.AmqpClients.closedWith;
import static tramline.conformance.AmqpClients.declare;
import static tramline.conformance.AmqpClients.drain;
import static tramline.conformance.AmqpClients.exchange;
import static tramline.conformance.AmqpClients.get;
import static tramline.conformance.AmqpClients.headers;
import static tramline.conformance.AmqpClients.name;
import static tramline.conformance.AmqpClients.publish;
import static tramline.conformance.AmqpClients.refused;
import static tramline.conformance.AmqpClients.send;
import static tramline.conformance.AmqpClients.until;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** RabbitMQ's client: connections, exchanges, queues, dead letters. */
class AmqpTopologyTest {
    private final AmqpClients clients = new AmqpClients(Broker.shared());

    @AfterEach
    void close() {
        clients.close();
    }

    @Test
    void everyCapabilityIsTold() throws Exception {
        var capabilities = (Map<?, ?>) clients.connect().getServerProperties().get("capabilities");
        for (String name : List.of("publisher_confirms", "exchange_exchange_bindings", "basic.nack",
                "consumer_cancel_notify", "connection.blocked", "consumer_priorities",
                "authentication_failure_close", "per_consumer_qos", "direct_reply_to")) {
            assertEquals(true, capabilities.get(name), name);
        }
    }

    @Test
    void limitsAreAgreedOn() throws Exception {
        ConnectionFactory factory = clients.factory();
        factory.setRequestedChannelMax(2);
        factory.setRequestedFrameMax(8192);
        factory.setRequestedHeartbeat(1);
        Connection connection = clients.connect(factory);
        Channel channel = connection.createChannel();
        String queue = declare(channel);
        channel.basicPublish("", queue, null, new byte[100_000]);
        assertEquals(100_000, get(channel, queue, true).getBody().length);
        assertTrue(connection.createChannel() != null && connection.createChannel() == null);
        Thread.sleep(3500);
        assertTrue(connection.isOpen(), "heartbeats keep it");
    }

    @Test
    void aWrongPasswordIsRefused() {
        ConnectionFactory factory = clients.factory();
        factory.setPassword("wrong");
        org.junit.jupiter.api.Assertions.assertThrows(
                AuthenticationFailureException.class, () -> clients.connect(factory));
    }

    @Test
    void anUnknownVirtualHostIsRefused() {
        ConnectionFactory factory = clients.factory();
        factory.setVirtualHost("elsewhere");
        refused(530, () -> clients.connect(factory));
    }

    @Test
    void aBrokerThatStopsSaysSo() throws Exception {
        try (Broker own = Broker.own(); AmqpClients others = new AmqpClients(own)) {
            Connection connection = others.connect();
            own.stop();
            until("close", () -> !connection.isOpen());
            assertEquals(320, AmqpClients.code(connection.getCloseReason()));
            own.start();
        }
    }

    @Test
    void exchangesOfEveryKind() throws Exception {
        Channel channel = clients.channel();
        String direct = exchange(channel, "direct");
        String fanout = exchange(channel, "fanout");
        String topic = exchange(channel, "topic");
        String queue = declare(channel);
        channel.queueBind(queue, direct, "a");
        channel.queueBind(queue, fanout, "");
        channel.queueBind(queue, topic, "x.*.#");
        for (String key : List.of("a", "b", "x", "x.1", "x.1.2")) {
            for (String from : List.of(direct, fanout, topic)) {
                publish(channel, from, key, from.equals(direct) ? "d" : from.equals(topic) ? "t" : "f");
            }
        }
        assertEquals(List.of("d", "f", "f", "f", "f", "t", "f", "t"), drain(channel, queue));
        channel.queueUnbind(queue, fanout, "");
        publish(channel, fanout, "", "not");
        assertEquals(List.of(), drain(channel, queue));
    }

    @Test
    void headersExchanges() throws Exception {
        Channel channel = clients.channel();
        String from = exchange(channel, "headers");
        Map<Map<String, Object>, List<String>> cases = Map.of(
                Map.of("x-match", "all", "a", 1, "b", "x"), List.of("0"),
                Map.of("x-match", "any", "a", 1L, "b", "x"), List.of("0", "1", "2"),
                Map.of("x-match", "all-with-x", "b", "x", "x-c", true), List.of("2"),
                Map.of("x-match", "any-with-x", "x-c", true), List.of("2"));
        for (var one : cases.entrySet()) {
            String queue = declare(channel);
            channel.queueBind(queue, from, "", one.getKey());
            int n = 0;
            for (Map<String, Object> message : List.<Map<String, Object>>of(
                    Map.of("a", 1, "b", "x"), Map.of("a", 1), Map.of("b", "x", "x-c", true))) {
                channel.basicPublish(from, "", headers(message), String.valueOf(n++).getBytes());
            }
            assertEquals(one.getValue(), drain(channel, queue));
            channel.queueUnbind(queue, from, "", one.getKey());
        }
    }

    @Test
    void exchangesLeadToExchangesAndToTheAlternate() throws Exception {
        Channel channel = clients.channel();
        String first = exchange(channel, "topic");
        String rest = exchange(channel, "fanout");
        String second = name();
        channel.exchangeDeclare(second, "direct", true, false, Map.of("alternate-exchange", rest));
        String queue = declare(channel);
        String others = declare(channel);
        channel.exchangeBind(second, first, "x.#");
        channel.queueBind(queue, second, "x.1");
        channel.queueBind(others, rest, "");
        for (String key : List.of("x.1", "x.2", "y")) {
            publish(channel, first, key, key);
        }
        assertEquals(List.of("x.1"), drain(channel, queue));
        assertEquals(List.of("x.2"), drain(channel, others));
        channel.exchangeUnbind(second, first, "x.#");
        publish(channel, first, "x.1", "not");
        assertEquals(List.of(), drain(channel, queue));
    }

    @Test
    void internalAutoDeleteAndDeletedExchanges() throws Exception {
        Channel channel = clients.channel();
        String gone = name();
        String queue = declare(channel);
        channel.exchangeDeclare(gone, "fanout", false, true, Map.of());
        channel.queueBind(queue, gone, "");
        channel.queueUnbind(queue, gone, "");
        refused(404, () -> clients.channel().exchangeDeclarePassive(gone));
        String internal = name();
        channel.exchangeDeclare(internal, "fanout", true, false, true, Map.of());
        Channel other = clients.channel();
        publish(other, internal, "", "m");
        assertEquals(403, closedWith(other));
        String used = exchange(channel, "direct");
        channel.queueBind(queue, used, "k");
        refused(406, () -> clients.channel().exchangeDelete(used, true));
        channel.exchangeDelete(used);
        refused(404, () -> clients.channel().exchangeDeclarePassive(used));
    }

    @Test
    void ccAndBcc() throws Exception {
        Channel channel = clients.channel();
        List<String> queues = List.of(declare(channel), declare(channel), declare(channel));
        Map<String, Object> further =
                Map.of("CC", List.of(queues.get(1)), "BCC", List.of(queues.get(2)));
        channel.basicPublish("", queues.get(0), headers(further), "m".getBytes());
        for (String queue : queues) {
            assertEquals(java.util.Set.of("CC"), get(channel, queue, true).getProps().getHeaders().keySet());
        }
    }

    @Test
    void queuesAreNamedCountedPurgedAndDeleted() throws Exception {
        Channel channel = clients.channel();
        String queue = channel.queueDeclare().getQueue();
        assertTrue(queue.startsWith("amq.gen-"), queue);
        send(channel, queue, "a", "b", "c");
        assertEquals(3, channel.messageCount(queue));
        assertEquals(0, channel.consumerCount(queue));
        assertEquals(3, channel.queuePurge(queue).getMessageCount());
        send(channel, queue, "d");
        refused(405, () -> clients.channel().queueDelete(queue));
        assertEquals(1, channel.queueDelete(queue).getMessageCount());
        assertEquals(0, channel.queueDelete(queue).getMessageCount());
    }

    @Test
    void aQueueIsDeletedOnlyIfUnusedAndEmpty() throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel);
        send(channel, queue, "m");
        assertEquals(1, channel.messageCount(queue));
        refused(406, () -> clients.channel().queueDelete(queue, false, true));
        drain(channel, queue);
        String tag = AmqpClients.consume(channel, queue, true).tag;
        refused(406, () -> clients.channel().queueDelete(queue, true, false));
        channel.basicCancel(tag);
        channel.queueDelete(queue, true, true);
    }

    @Test
    void exclusiveAndAutoDeleteQueuesGo() throws Exception {
        Connection connection = clients.connect();
        Channel channel = connection.createChannel();
        String exclusive = name();
        channel.queueDeclare(exclusive, false, true, false, Map.of());
        refused(405, () -> clients.channel().queueDeclarePassive(exclusive));
        Channel other = clients.channel();
        String auto = other.queueDeclare(name(), false, false, true, Map.of()).getQueue();
        other.basicCancel(AmqpClients.consume(other, auto, true).tag);
        connection.close();
        for (String queue : List.of(exclusive, auto)) {
            until("end of " + queue, () -> {
                try {
                    clients.channel().queueDeclarePassive(queue);
                    return false;
                } catch (Exception gone) {
                    return AmqpClients.code(gone) == 404;
                }
            });
        }
    }

    @Test
    void priorities() throws Exception {
        Channel channel = clients.channel();
        String queue = declare(channel, Map.of("x-max-priority", 5));
        for (int priority : List.of(0, 5, 3, 200)) {
            var properties = new AMQP.BasicProperties.Builder().priority(priority).build();
            channel.basicPublish("", queue, properties, String.valueOf(priority).getBytes());
        }
        assertEquals(List.of("5", "200", "3", "0"), drain(channel, queue));
    }

    @Test
    void timeToLiveAndBounds() throws Exception {
        Channel channel = clients.channel();
        String byQueue = declare(channel, Map.of("x-message-ttl", 50));
        String byMessage = declare(channel);
        String bounded = declare(channel, Map.of("x-max-length", 2));
        send(channel, byQueue, "m");
        var expiring = new AMQP.BasicProperties.Builder().expiration("50").build();
        channel.basicPublish("", byMessage, expiring, "short".getBytes());
        send(channel, byMessage, "long");
        send(channel, bounded, "a", "b", "c");
        until("end of both",
                () -> channel.messageCount(byQueue) == 0 && channel.messageCount(byMessage) == 1);
        assertEquals(List.of("long"), drain(channel, byMessage));
        assertEquals(List.of("b", "c"), drain(channel, bounded));
    }

    private interface Death {
        void die(Channel channel, String queue) throws Exception;
    }

    private void dies(String reason, Map<String, Object> arguments, Death death) throws Exception {
        Channel channel = clients.channel();
        String to = exchange(channel, "fanout");
        String dead = declare(channel);
        channel.queueBind(dead, to, "");
        Map<String, Object> all = new java.util.HashMap<>(arguments);
        all.put("x-dead-letter-exchange", to);
        String queue = declare(channel, all);
        send(channel, queue, "m");
        death.die(channel, queue);
        GetResponse letter = get(channel, dead, true);
        assertEquals("m", new String(letter.getBody()));
        assertEquals(to, letter.getEnvelope().getExchange());
        Map<String, Object> headers = letter.getProps().getHeaders();
        Map<?, ?> entry = (Map<?, ?>) ((List<?>) headers.get("x-death")).get(0);
        assertEquals(reason, entry.get("reason").toString());
        assertEquals(queue, entry.get("queue").toString());
        assertEquals("", entry.get("exchange").toString());
        assertEquals(1L, entry.get("count"));
        assertEquals(List.of(queue), ((List<?>) entry.get("routing-keys")).stream().map(Object::toString).toList());
        assertTrue(entry.get("time") instanceof java.util.Date);
        assertEquals(reason, ((LongString) headers.get("x-first-death-reason")).toString());
        assertEquals(queue, Objects.toString(headers.get("x-last-death-queue")));
    }

    @Test
    void rejected() throws Exception {
        dies("rejected", Map.of(), (channel, queue) ->
                channel.basicReject(get(channel, queue, false).getEnvelope().getDeliveryTag(), false));
    }

    @Test
    void expired() throws Exception {
        dies("expired", Map.of("x-message-ttl", 1), (channel, queue) -> {});
    }

    @Test
    void droppedAtABound() throws Exception {
        dies("maxlen", Map.of("x-max-length", 1), (channel, queue) -> send(channel, queue, "n"));
    }

    @Test
    void deliveredTooOften() throws Exception {
        Map<String, Object> quorum = Map.of("x-queue-type", "quorum", "x-delivery-limit", 1);
        dies("delivery_limit", quorum, (channel, queue) -> {
            GetResponse first = get(channel, queue, false);
            assertFalse(headersOf(first).containsKey("x-delivery-count"));
            channel.basicNack(first.getEnvelope().getDeliveryTag(), false, true);
            GetResponse second = get(channel, queue, false);
            assertEquals(1L, headersOf(second).get("x-delivery-count"));
            channel.basicNack(second.getEnvelope().getDeliveryTag(), false, true);
        });
    }

    private static Map<String, Object> headersOf(GetResponse got) {
        return Objects.requireNonNullElse(got.getProps().getHeaders(), Map.of());
    }
}
