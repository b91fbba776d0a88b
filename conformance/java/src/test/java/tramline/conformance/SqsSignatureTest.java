package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static tramline.conformance.SqsClients.bodies;

import java.util.List;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.services.sqs.model.SqsException;

/** What the AWS SDK signs is verified where there are keys. */
class SqsSignatureTest {
    @Test
    void signedRequestsPassAndOthersAreRefused() {
        // The SDK's clients of these tests sign with the secret "secret".
        try (Broker broker = Broker.with("[sqs.keys]\nAKIDEXAMPLE = \"secret\"\nAKIDOTHER = \"other\"\n");
                SqsClients good = new SqsClients(broker, "AKIDEXAMPLE");
                SqsClients wrong = new SqsClients(broker, "AKIDOTHER");
                SqsClients unknown = new SqsClients(broker, "AKIDNONE")) {
            String queue = good.declare();
            good.send(queue, "käse");
            assertEquals(List.of("käse"), bodies(good.receiveAll(queue, 1)));
            for (SqsClients refused : List.of(wrong, unknown)) {
                var error = assertThrows(SqsException.class, () -> refused.sqs.listQueues());
                assertEquals(403, error.statusCode());
            }
        }
    }
}
