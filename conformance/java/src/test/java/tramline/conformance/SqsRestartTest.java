package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static tramline.conformance.SqsClients.bodies;
import static tramline.conformance.SqsClients.numbers;
import static tramline.conformance.SqsClients.sorted;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import software.amazon.awssdk.services.sqs.model.QueueAttributeName;

/** Over a restart, clean or by kill -9, nothing acknowledged is lost, and the client comes back. */
class SqsRestartTest {
    private final Broker broker = Broker.own();
    private final SqsClients clients = new SqsClients(broker);

    @AfterEach
    void close() {
        clients.close();
        broker.close();
    }

    @ParameterizedTest
    @ValueSource(strings = {"stop", "kill"})
    void messagesLocksAndDeletesAreAsTheyWere(String how) {
        String queue = clients.declare(Map.of(QueueAttributeName.VISIBILITY_TIMEOUT, "600"));
        clients.send(queue, numbers(0, 30));
        var out = clients.receiveAll(queue, 10);
        clients.delete(queue, out.subList(0, 5));
        if (how.equals("kill")) {
            broker.kill();
        } else {
            broker.stop();
        }
        broker.start();
        // A handle of before the restart still deletes.
        clients.delete(queue, out.subList(5, out.size()));
        List<String> all = new ArrayList<>(bodies(out));
        all.addAll(bodies(clients.receiveAll(queue, 30 - out.size())));
        assertEquals(List.of(numbers(0, 30)), sorted(all));
    }
}
