package amqp091

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"tramline/conformance/broker"
)

func TestEveryCapabilityIsTold(t *testing.T) {
	connection := connect(t)
	same(t, connection.Properties["product"], "RabbitMQ")
	capabilities := connection.Properties["capabilities"].(amqp.Table)
	for _, name := range []string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack",
		"consumer_cancel_notify", "connection.blocked", "consumer_priorities",
		"authentication_failure_close", "per_consumer_qos", "direct_reply_to",
	} {
		same(t, capabilities[name], true)
	}
}

func TestLimitsAreAgreedOn(t *testing.T) {
	connection := dial(t, shared, amqp.Config{ChannelMax: 3, FrameSize: 8192, Heartbeat: time.Second})
	same(t, connection.Config.ChannelMax, uint16(3))
	same(t, connection.Config.FrameSize, 8192)
	ch := open(t, connection)
	queue := declare(t, ch, nil)
	body := make([]byte, 100_000)
	publish(t, ch, "", queue, amqp.Publishing{Body: body})
	same(t, len(get(t, ch, queue, true).Body), len(body))
	open(t, connection)
	open(t, connection)
	if _, err := connection.Channel(); err == nil {
		t.Fatal("a fourth channel")
	}
}

func TestAMQPLAIN(t *testing.T) {
	sasl := []amqp.Authentication{&amqp.AMQPlainAuth{Username: "guest", Password: "guest"}}
	open(t, dial(t, shared, amqp.Config{SASL: sasl}))
}

func TestAWrongPasswordIsRefusedWith403(t *testing.T) {
	_, err := amqp.Dial("amqp://guest:wrong@" + shared.AMQP + "/")
	refused(t, err, amqp.AccessRefused)
}

func TestAnUnknownVirtualHostIsRefused(t *testing.T) {
	if _, err := amqp.Dial(url(shared) + "elsewhere"); err == nil {
		t.Fatal("it opened")
	}
}

func TestASecretIsUpdated(t *testing.T) {
	connection := connect(t)
	must(t, connection.UpdateSecret("guest", "it was time"))
	open(t, connection)
}

func TestHeartbeatsKeepAnIdleConnection(t *testing.T) {
	connection := dial(t, shared, amqp.Config{Heartbeat: time.Second})
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	select {
	case err := <-closed:
		t.Fatal(err)
	case <-time.After(4 * time.Second):
	}
	open(t, connection)
}

func TestAChannelClosesAndItsNumberIsUsedAgain(t *testing.T) {
	connection := connect(t)
	for range 100 {
		must(t, open(t, connection).Close())
	}
}

func TestABrokerThatStopsSaysSo(t *testing.T) {
	own := broker.Own(t)
	connection := dial(t, own, amqp.Config{})
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	own.Stop(t)
	same(t, await(t, "close", closed).Code, amqp.ConnectionForced)
	own.Start(t)
}
