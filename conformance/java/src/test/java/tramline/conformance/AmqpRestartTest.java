package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static tramline.conformance.AmqpClients.consume;
import static tramline.conformance.AmqpClients.declare;
import static tramline.conformance.AmqpClients.drain;
import static tramline.conformance.AmqpClients.exchange;
import static tramline.conformance.AmqpClients.get;
import static tramline.conformance.AmqpClients.name;
import static tramline.conformance.AmqpClients.numbers;
import static tramline.conformance.AmqpClients.publish;
import static tramline.conformance.AmqpClients.refused;
import static tramline.conformance.AmqpClients.until;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Over a restart, clean or by kill -9, durable state is intact and clients come back. */
class AmqpRestartTest {
    private final Broker broker = Broker.own();
    private final AmqpClients clients = new AmqpClients(broker);

    @AfterEach
    void close() {
        clients.close();
        broker.close();
    }

    private void restart(String how) {
        if (how.equals("kill")) {
            broker.kill();
        } else {
            broker.stop();
        }
        broker.start();
    }

    @ParameterizedTest
    @ValueSource(strings = {"stop", "kill"})
    void durableStateIsIntact(String how) throws Exception {
        Channel channel = clients.channel();
        String from = exchange(channel, "topic");
        String queue = declare(channel, Map.of("x-max-priority", 3));
        channel.queueBind(queue, from, "a.#");
        String transientQueue = channel.queueDeclare(name(), false, false, false, null).getQueue();
        channel.confirmSelect();
        for (String body : numbers(0, 500)) {
            publish(channel, from, "a.b", body);
        }
        channel.waitForConfirmsOrDie(60_000);
        assertEquals("0", new String(get(channel, queue, false).getBody()));
        restart(how);
        Channel after = clients.channel();
        assertEquals(List.of(numbers(0, 500)), drain(after, queue));
        publish(after, from, "a.c", "routed");
        assertEquals(List.of("routed"), drain(after, queue));
        refused(404, () -> clients.channel().queueDeclarePassive(transientQueue));
    }

    /**
     * Counts down when a connection is there again with its exchanges, queues and consumers.
     * Before that its channels are open already: a publish to an exchange that is yet to be
     * declared again would close them for good.
     */
    private static CountDownLatch recovery(Connection connection) {
        CountDownLatch recovered = new CountDownLatch(1);
        ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
            @Override
            public void handleRecovery(Recoverable whole) {
                recovered.countDown();
            }

            @Override
            public void handleRecoveryStarted(Recoverable begun) {}
        });
        return recovered;
    }

    @ParameterizedTest
    @ValueSource(strings = {"stop", "kill"})
    void aConnectionWithItsTopologyRecovers(String how) throws Exception {
        ConnectionFactory factory = clients.factory();
        factory.setAutomaticRecoveryEnabled(true);
        factory.setNetworkRecoveryInterval(100);
        Connection connection = clients.connect(factory);
        Channel channel = connection.createChannel();
        String from = name();
        channel.exchangeDeclare(from, "fanout", false);
        String queue = channel.queueDeclare(name(), false, true, true, null).getQueue();
        channel.queueBind(queue, from, "");
        var collector = consume(channel, queue, true);
        publish(channel, from, "", "before");
        assertEquals("before", collector.nextBody());
        var recovered = recovery(connection);
        restart(how);
        assertTrue(recovered.await(60, TimeUnit.SECONDS), "no recovery");
        publish(channel, from, "", "after");
        assertEquals("after", collector.nextBody());
        assertTrue(connection.isOpen());
    }
}
