package tramline.conformance;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/** Tests with clients of the shared broker. */
abstract class ClientTest {
    Clients clients;

    @BeforeEach
    void open() {
        clients = new Clients(Broker.shared());
    }

    @AfterEach
    void close() throws Exception {
        clients.close();
        Broker.shared();
    }
}
