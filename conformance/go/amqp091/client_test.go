// Package amqp091 is RabbitMQ's client for Go against the real binary.
package amqp091

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"tramline/conformance/broker"
)

const limit = 60 * time.Second

var shared *broker.Broker

func TestMain(m *testing.M) { broker.Shared(m, &shared) }

func url(b *broker.Broker) string { return "amqp://guest:guest@" + b.AMQP + "/" }

func dial(t *testing.T, b *broker.Broker, config amqp.Config) *amqp.Connection {
	t.Helper()
	connection, err := amqp.DialConfig(url(b), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

func connect(t *testing.T) *amqp.Connection {
	t.Helper()
	return dial(t, shared, amqp.Config{Heartbeat: 10 * time.Second})
}

func open(t *testing.T, connection *amqp.Connection) *amqp.Channel {
	t.Helper()
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return channel
}

// channel is a channel of a connection of its own.
func channel(t *testing.T) *amqp.Channel {
	t.Helper()
	return open(t, connect(t))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused tells a reply code, and whether the whole connection was closed.
func refused(t *testing.T, err error, code int) {
	t.Helper()
	var refusal *amqp.Error
	if !errors.As(err, &refusal) || refusal.Code != code {
		t.Fatalf("%v, not %d", err, code)
	}
}

// declare makes a durable queue with a name of its own.
func declare(t *testing.T, ch *amqp.Channel, arguments amqp.Table) string {
	t.Helper()
	queue, err := ch.QueueDeclare(broker.Name(), true, false, false, false, arguments)
	must(t, err)
	return queue.Name
}

func exchange(t *testing.T, ch *amqp.Channel, kind string) string {
	t.Helper()
	name := broker.Name()
	must(t, ch.ExchangeDeclare(name, kind, true, false, false, false, nil))
	return name
}

func publish(t *testing.T, ch *amqp.Channel, exchange, key string, message amqp.Publishing) {
	t.Helper()
	must(t, ch.PublishWithContext(context.Background(), exchange, key, false, false, message))
}

func text(body string) amqp.Publishing {
	return amqp.Publishing{Body: []byte(body), DeliveryMode: amqp.Persistent}
}

func send(t *testing.T, ch *amqp.Channel, queue string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		publish(t, ch, "", queue, text(body))
	}
}

// get waits for a message.
func get(t *testing.T, ch *amqp.Channel, queue string, autoAck bool) amqp.Delivery {
	t.Helper()
	var message amqp.Delivery
	broker.Until(t, "a message in "+queue, func() bool {
		got, ok, err := ch.Get(queue, autoAck)
		must(t, err)
		message = got
		return ok
	})
	return message
}

func drain(t *testing.T, ch *amqp.Channel, queue string) []string {
	t.Helper()
	bodies := []string{}
	for {
		got, ok, err := ch.Get(queue, true)
		must(t, err)
		if !ok {
			return bodies
		}
		bodies = append(bodies, string(got.Body))
	}
}

func ready(t *testing.T, ch *amqp.Channel, queue string) int {
	t.Helper()
	found, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	must(t, err)
	return found.Messages
}

func consume(t *testing.T, ch *amqp.Channel, queue string, autoAck bool) <-chan amqp.Delivery {
	t.Helper()
	deliveries, err := ch.Consume(queue, "", autoAck, false, false, false, nil)
	must(t, err)
	return deliveries
}

func receive(t *testing.T, deliveries <-chan amqp.Delivery) amqp.Delivery {
	t.Helper()
	select {
	case delivery, ok := <-deliveries:
		if !ok {
			t.Fatal("the consumer ended")
		}
		return delivery
	case <-time.After(limit):
		t.Fatal("no delivery")
	}
	panic("unreachable")
}

func receiveNothing(t *testing.T, deliveries <-chan amqp.Delivery) {
	t.Helper()
	select {
	case delivery, ok := <-deliveries:
		t.Fatalf("unexpected: %t %s", ok, delivery.Body)
	case <-time.After(200 * time.Millisecond):
	}
}

func await[T any](t *testing.T, what string, events <-chan T) T {
	t.Helper()
	select {
	case event := <-events:
		return event
	case <-time.After(limit):
		t.Fatalf("no %s", what)
	}
	panic("unreachable")
}

func same(t *testing.T, got, expected any) {
	t.Helper()
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", expected) {
		t.Fatalf("%#v, not %#v", got, expected)
	}
}
