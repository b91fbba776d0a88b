package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.ShutdownSignalException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.function.Executable;

/** RabbitMQ's client of one test: connections that end with it, and waiting. */
final class AmqpClients implements AutoCloseable {
    private final Broker broker;
    private final List<Connection> connections = new ArrayList<>();

    AmqpClients(Broker broker) {
        this.broker = broker;
    }

    ConnectionFactory factory() {
        String[] address = broker.amqp().split(":");
        ConnectionFactory factory = new ConnectionFactory();
        factory.setHost(address[0]);
        factory.setPort(Integer.parseInt(address[1]));
        factory.setAutomaticRecoveryEnabled(false);
        return factory;
    }

    Connection connect(ConnectionFactory factory) throws Exception {
        Connection connection = factory.newConnection();
        connections.add(connection);
        return connection;
    }

    Connection connect() throws Exception {
        return connect(factory());
    }

    /** A channel of a connection of its own. */
    Channel channel() throws Exception {
        return connect().createChannel();
    }

    @Override
    public void close() {
        connections.forEach(Connection::abort);
    }

    static String name() {
        return "t-" + UUID.randomUUID();
    }

    /** A durable queue with a name of its own. */
    static String declare(Channel channel, Map<String, Object> arguments) throws Exception {
        return channel.queueDeclare(name(), true, false, false, arguments).getQueue();
    }

    static String declare(Channel channel) throws Exception {
        return declare(channel, Map.of());
    }

    static String exchange(Channel channel, String type) throws Exception {
        String name = name();
        channel.exchangeDeclare(name, type, true);
        return name;
    }

    static void publish(Channel channel, String exchange, String key, String body) throws Exception {
        channel.basicPublish(exchange, key, MessageProperties.PERSISTENT_BASIC, body.getBytes());
    }

    static void send(Channel channel, String queue, String... bodies) throws Exception {
        for (String body : bodies) {
            publish(channel, "", queue, body);
        }
    }

    static AMQP.BasicProperties headers(Map<String, Object> headers) {
        return new AMQP.BasicProperties.Builder().headers(headers).build();
    }

    static GetResponse get(Channel channel, String queue, boolean autoAck) throws Exception {
        GetResponse[] got = new GetResponse[1];
        until("a message in " + queue, () -> (got[0] = channel.basicGet(queue, autoAck)) != null);
        return got[0];
    }

    static List<String> drain(Channel channel, String queue) throws Exception {
        List<String> bodies = new ArrayList<>();
        for (GetResponse got; (got = channel.basicGet(queue, true)) != null;) {
            bodies.add(new String(got.getBody()));
        }
        return bodies;
    }

    static String[] numbers(int from, int to) {
        return IntStream.range(from, to).mapToObj(String::valueOf).toArray(String[]::new);
    }

    static void until(String what, Callable<Boolean> holds) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (!holds.call()) {
            assertTrue(System.nanoTime() < deadline, () -> "no " + what);
            Thread.sleep(20);
        }
    }

    /** The code with which something is refused, or an exception that was caused by it. */
    static int code(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (cause instanceof ShutdownSignalException shutdown) {
                Object reason = shutdown.getReason();
                return reason instanceof AMQP.Channel.Close close
                        ? close.getReplyCode() : ((AMQP.Connection.Close) reason).getReplyCode();
            }
        }
        throw new AssertionError(error);
    }

    static void refused(int code, Executable call) {
        assertEquals(code, code(assertThrows(Exception.class, call)));
    }

    /** The code with which a channel is closed after something that is not answered. */
    static int closedWith(Channel channel) throws Exception {
        until("close", () -> !channel.isOpen());
        return code(channel.getCloseReason());
    }

    /** A consumer that collects. */
    static final class Collector extends DefaultConsumer {
        final BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
        String tag;
        final BlockingQueue<String> cancelled = new LinkedBlockingQueue<>();

        Collector(Channel channel) {
            super(channel);
        }

        @Override
        public void handleDelivery(
                String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
            deliveries.add(new Delivery(envelope, properties, body));
        }

        @Override
        public void handleCancel(String tag) {
            cancelled.add(tag);
        }

        Delivery next() throws Exception {
            Delivery delivery = deliveries.poll(60, TimeUnit.SECONDS);
            assertTrue(delivery != null, "no delivery");
            return delivery;
        }

        String nextBody() throws Exception {
            return new String(next().getBody());
        }

        void nothing() throws Exception {
            assertEquals(null, deliveries.poll(200, TimeUnit.MILLISECONDS));
        }

        void ack(Delivery delivery) throws Exception {
            getChannel().basicAck(delivery.getEnvelope().getDeliveryTag(), false);
        }
    }

    static Collector consume(
            Channel channel, String queue, boolean autoAck, Map<String, Object> arguments)
            throws Exception {
        Collector collector = new Collector(channel);
        collector.tag = channel.basicConsume(queue, autoAck, arguments, collector);
        return collector;
    }

    static Collector consume(Channel channel, String queue, boolean autoAck) throws Exception {
        return consume(channel, queue, autoAck, Map.of());
    }
}
