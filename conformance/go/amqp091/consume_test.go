package amqp091

import (
	"context"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"tramline/conformance/broker"
)

func TestDeliveriesComeInOrderAndAreAcknowledged(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	send(t, ch, queue, broker.Numbers(0, 500)...)
	deliveries := consume(t, ch, queue, false)
	for n, expected := range broker.Numbers(0, 500) {
		delivery := receive(t, deliveries)
		same(t, []any{string(delivery.Body), delivery.DeliveryTag, delivery.Redelivered},
			[]any{expected, uint64(n + 1), false})
		if n%100 == 99 {
			must(t, delivery.Ack(true))
		}
	}
	must(t, ch.Close())
	same(t, drain(t, channel(t), queue), []string{})
}

func TestAutoAckNeedsNoAcknowledgement(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	deliveries := consume(t, ch, queue, true)
	send(t, ch, queue, "a", "b")
	receive(t, deliveries)
	receive(t, deliveries)
	must(t, ch.Close())
	same(t, ready(t, channel(t), queue), 0)
}

func TestWhatIsOutReturnsInOrderWhenItsChannelCloses(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	send(t, ch, queue, "a", "b", "c")
	deliveries := consume(t, ch, queue, false)
	for range 3 {
		same(t, receive(t, deliveries).Redelivered, false)
	}
	must(t, ch.Close())
	again := consume(t, channel(t), queue, false)
	for _, body := range []string{"a", "b", "c"} {
		delivery := receive(t, again)
		same(t, []any{string(delivery.Body), delivery.Redelivered}, []any{body, true})
	}
}

func TestNackAndRejectRequeueOrDrop(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	send(t, ch, queue, "a", "b", "c", "d")
	a, b := get(t, ch, queue, false), get(t, ch, queue, false)
	c, d := get(t, ch, queue, false), get(t, ch, queue, false)
	must(t, a.Reject(true))
	must(t, b.Reject(false))
	must(t, d.Nack(true, true))
	_ = c
	again := get(t, ch, queue, false)
	same(t, []any{string(again.Body), again.Redelivered}, []any{"a", true})
	must(t, again.Nack(false, false))
	same(t, drain(t, ch, queue), []string{"c", "d"})
}

func TestRecoverDeliversAgain(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	send(t, ch, queue, "a")
	deliveries := consume(t, ch, queue, false)
	receive(t, deliveries)
	must(t, ch.Recover(true))
	same(t, receive(t, deliveries).Redelivered, true)
}

func TestPrefetchOfAConsumerAndOfAChannel(t *testing.T) {
	for _, global := range []bool{false, true} {
		ch := channel(t)
		queue := declare(t, ch, nil)
		send(t, ch, queue, broker.Numbers(0, 10)...)
		must(t, ch.Qos(2, 0, global))
		first, second := consume(t, ch, queue, false), consume(t, ch, queue, false)
		var out []amqp.Delivery
		n := 4
		if global {
			n = 2
		}
		for len(out) < n {
			select {
			case delivery := <-first:
				out = append(out, delivery)
			case delivery := <-second:
				out = append(out, delivery)
			case <-time.After(limit):
				t.Fatalf("%d deliveries", len(out))
			}
		}
		receiveNothing(t, first)
		receiveNothing(t, second)
		must(t, out[0].Ack(false))
		select {
		case <-first:
		case <-second:
		case <-time.After(limit):
			t.Fatal("no credit again")
		}
	}
}

func TestACancelledConsumerGetsNothingMoreAndMaySettle(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	send(t, ch, queue, "a")
	deliveries, err := ch.Consume(queue, "mine", false, false, false, false, nil)
	must(t, err)
	delivery := receive(t, deliveries)
	must(t, ch.Cancel("mine", false))
	send(t, ch, queue, "b")
	if _, open := <-deliveries; open {
		t.Fatal("a delivery after the cancel")
	}
	must(t, delivery.Ack(false))
	same(t, drain(t, ch, queue), []string{"b"})
}

func TestConsumersAreToldWhenTheirQueueIsDeleted(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	cancelled := ch.NotifyCancel(make(chan string, 1))
	_, err := ch.Consume(queue, "mine", false, false, false, false, nil)
	must(t, err)
	_, err = channel(t).QueueDelete(queue, false, false, false)
	must(t, err)
	same(t, await(t, "cancel", cancelled), "mine")
	declare(t, ch, nil)
}

func TestAnExclusiveConsumerIsAlone(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	_, err := ch.Consume(queue, "alone", false, true, false, false, nil)
	must(t, err)
	_, err = channel(t).Consume(queue, "", false, false, false, false, nil)
	refused(t, err, amqp.AccessRefused)
	must(t, ch.Cancel("alone", false))
	consume(t, ch, queue, false)
	_, err = channel(t).Consume(queue, "", false, true, false, false, nil)
	refused(t, err, amqp.AccessRefused)
}

func TestConsumersOfAHigherPriorityComeFirst(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	must(t, ch.Qos(1, 0, false))
	low := consume(t, ch, queue, false)
	high, err := ch.Consume(queue, "", false, false, false, false, amqp.Table{"x-priority": 5})
	must(t, err)
	send(t, ch, queue, "a")
	first := receive(t, high)
	same(t, string(first.Body), "a")
	send(t, ch, queue, "b")
	same(t, string(receive(t, low).Body), "b")
	must(t, first.Ack(false))
	send(t, ch, queue, "c")
	same(t, string(receive(t, high).Body), "c")
}

func TestASingleActiveConsumerHandsOver(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, amqp.Table{"x-single-active-consumer": true})
	active, err := ch.Consume(queue, "active", false, false, false, false, nil)
	must(t, err)
	next := channel(t)
	waiting := consume(t, next, queue, false)
	send(t, ch, queue, "a", "b")
	for _, body := range []string{"a", "b"} {
		delivery := receive(t, active)
		same(t, string(delivery.Body), body)
		must(t, delivery.Ack(false))
	}
	receiveNothing(t, waiting)
	must(t, ch.Cancel("active", false))
	send(t, ch, queue, "c")
	same(t, string(receive(t, waiting).Body), "c")
}

func TestDirectReplyTo(t *testing.T) {
	client, server := channel(t), channel(t)
	requests := declare(t, server, nil)
	served := consume(t, server, requests, true)
	replies := consume(t, client, "amq.rabbitmq.reply-to", true)
	go func() {
		for request := range served {
			reply := amqp.Publishing{CorrelationId: request.CorrelationId, Body: request.Body}
			server.PublishWithContext(context.Background(), "", request.ReplyTo, false, false, reply)
		}
	}()
	for n := range 100 {
		id := fmt.Sprint(n)
		request := amqp.Publishing{
			ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: id, Body: []byte(id),
		}
		publish(t, client, "", requests, request)
		reply := receive(t, replies)
		same(t, []string{reply.CorrelationId, string(reply.Body)}, []string{id, id})
	}
}

func TestFlowStopsDeliveries(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	must(t, ch.Flow(false))
	deliveries := consume(t, ch, queue, true)
	send(t, ch, queue, "a")
	receiveNothing(t, deliveries)
	must(t, ch.Flow(true))
	same(t, string(receive(t, deliveries).Body), "a")
}

func TestGetTellsHowManyAreLeft(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	_, ok, err := ch.Get(queue, true)
	must(t, err)
	same(t, ok, false)
	send(t, ch, queue, "a", "b", "c")
	for left := uint32(2); left > 0; left-- {
		same(t, get(t, ch, queue, true).MessageCount, left)
	}
}
