package amqp091

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"tramline/conformance/broker"
)

func onto(t *testing.T, b *broker.Broker) *amqp.Channel {
	t.Helper()
	return open(t, dial(t, b, amqp.Config{}))
}

func TestDurableStateIsIntactAfterARestart(t *testing.T) {
	for _, how := range []string{"stop", "kill"} {
		t.Run(how, func(t *testing.T) {
			own := broker.Own(t)
			ch := onto(t, own)
			from, to := exchange(t, ch, "topic"), exchange(t, ch, "headers")
			queue := declare(t, ch, amqp.Table{"x-max-priority": 3})
			must(t, ch.QueueBind(queue, "a.#", from, false, nil))
			must(t, ch.ExchangeBind(to, "b.#", from, false, nil))
			must(t, ch.QueueBind(queue, "", to, false, amqp.Table{"n": 0.1}))
			transient := broker.Name()
			_, err := ch.QueueDeclare(transient, false, false, false, false, nil)
			must(t, err)
			must(t, ch.Confirm(false))
			confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 1000))
			for n, body := range broker.Numbers(0, 300) {
				message := text(body)
				message.Priority = uint8(n % 3)
				publish(t, ch, from, "a.b", message)
			}
			for range 300 {
				same(t, await(t, "confirm", confirms).Ack, true)
			}
			acked := map[string]bool{}
			for range 10 {
				got := get(t, ch, queue, false)
				must(t, got.Ack(false))
				acked[string(got.Body)] = true
			}
			out := get(t, ch, queue, false)
			own.Restart(t, how)

			ch = onto(t, own)
			again := get(t, ch, queue, false)
			if how == "stop" {
				same(t, []any{string(again.Body), again.Redelivered}, []any{string(out.Body), true})
			}
			must(t, again.Nack(false, true))
			left := drain(t, ch, queue)
			if len(left) < 290 || how == "stop" && len(left) != 290 {
				t.Fatal(len(left))
			}
			message := text("by header")
			message.Headers = amqp.Table{"n": 0.1}
			publish(t, ch, from, "b.c", message)
			same(t, string(get(t, ch, queue, true).Body), "by header")
			must(t, ch.QueueUnbind(queue, "", to, amqp.Table{"n": 0.1}))
			publish(t, ch, from, "b.c", message)
			same(t, drain(t, ch, queue), []string{})
			_, err = ch.QueueDeclarePassive(transient, false, false, false, false, nil)
			refused(t, err, amqp.NotFound)
		})
	}
}
