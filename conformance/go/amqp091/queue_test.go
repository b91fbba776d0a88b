package amqp091

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"tramline/conformance/broker"
)

func TestTheBrokerNamesAQueue(t *testing.T) {
	ch := channel(t)
	queue, err := ch.QueueDeclare("", false, true, true, false, nil)
	must(t, err)
	if len(queue.Name) < len("amq.gen-") || queue.Name[:8] != "amq.gen-" {
		t.Fatal(queue.Name)
	}
}

func TestCountsPurgeAndDelete(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	send(t, ch, queue, "a", "b", "c")
	same(t, ready(t, ch, queue), 3)
	out := get(t, ch, queue, false)
	purged, err := ch.QueuePurge(queue, false)
	must(t, err)
	same(t, purged, 2)
	must(t, out.Nack(false, true))
	deleted, err := ch.QueueDelete(queue, false, false, false)
	must(t, err)
	same(t, deleted, 1)
	deleted, err = ch.QueueDelete(queue, false, false, false)
	must(t, err)
	same(t, deleted, 0)
}

func TestDeleteOnlyIfUnusedOrEmpty(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	_, err := ch.Consume(queue, "mine", false, false, false, false, nil)
	must(t, err)
	_, err = channel(t).QueueDelete(queue, true, false, false)
	refused(t, err, amqp.PreconditionFailed)
	must(t, ch.Cancel("mine", false))
	send(t, ch, queue, "m")
	same(t, ready(t, ch, queue), 1)
	_, err = channel(t).QueueDelete(queue, false, true, false)
	refused(t, err, amqp.PreconditionFailed)
	drain(t, ch, queue)
	_, err = ch.QueueDelete(queue, true, true, false)
	must(t, err)
}

func TestAnExclusiveQueueGoesWithItsConnection(t *testing.T) {
	connection := connect(t)
	ch := open(t, connection)
	name := broker.Name()
	_, err := ch.QueueDeclare(name, false, false, true, false, nil)
	must(t, err)
	_, err = channel(t).QueueDeclarePassive(name, false, false, true, false, nil)
	refused(t, err, amqp.ResourceLocked)
	must(t, connection.Close())
	broker.Until(t, "the end of the queue", func() bool {
		_, err := channel(t).QueueDeclarePassive(name, false, false, false, false, nil)
		if err == nil {
			return false
		}
		return err.(*amqp.Error).Code == amqp.NotFound
	})
}

func TestAnAutoDeleteQueueGoesWithItsLastConsumer(t *testing.T) {
	ch := channel(t)
	name := broker.Name()
	_, err := ch.QueueDeclare(name, false, true, false, false, nil)
	must(t, err)
	_, err = ch.Consume(name, "mine", true, false, false, false, nil)
	must(t, err)
	must(t, ch.Cancel("mine", false))
	broker.Until(t, "the end of the queue", func() bool {
		_, err := channel(t).QueueDeclarePassive(name, false, false, false, false, nil)
		return err != nil
	})
}

func TestAQueueThatNobodyUsesExpires(t *testing.T) {
	ch := channel(t)
	name := declare(t, ch, amqp.Table{"x-expires": 300})
	deliveries, err := ch.Consume(name, "mine", true, false, false, false, nil)
	must(t, err)
	time.Sleep(700 * time.Millisecond)
	send(t, ch, name, "m")
	receive(t, deliveries)
	must(t, ch.Cancel("mine", false))
	time.Sleep(700 * time.Millisecond)
	broker.Until(t, "the end of the queue", func() bool {
		_, err := channel(t).QueueDeclarePassive(name, true, false, false, false, nil)
		if err == nil {
			time.Sleep(time.Second) // It was used: it starts anew.
		}
		return err != nil
	})
}

func TestPriorities(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, amqp.Table{"x-max-priority": 5})
	for _, one := range []struct {
		body     string
		priority uint8
	}{{"low", 0}, {"high", 5}, {"mid", 3}, {"above", 200}, {"low too", 0}} {
		message := text(one.body)
		message.Priority = one.priority
		publish(t, ch, "", queue, message)
	}
	same(t, drain(t, ch, queue), []string{"high", "above", "mid", "low", "low too"})
}

func TestTimeToLiveOfAQueueAndOfAMessage(t *testing.T) {
	ch := channel(t)
	byQueue := declare(t, ch, amqp.Table{"x-message-ttl": 100})
	send(t, ch, byQueue, "m")
	byMessage := declare(t, ch, nil)
	message := text("short")
	message.Expiration = "100"
	publish(t, ch, "", byMessage, message)
	send(t, ch, byMessage, "long")
	broker.Until(t, "the end of both", func() bool {
		return ready(t, ch, byQueue) == 0 && ready(t, ch, byMessage) == 1
	})
	same(t, drain(t, ch, byMessage), []string{"long"})
}

func TestLengthLimitsDropTheHead(t *testing.T) {
	ch := channel(t)
	byLength := declare(t, ch, amqp.Table{"x-max-length": 2})
	send(t, ch, byLength, "a", "b", "c")
	same(t, drain(t, ch, byLength), []string{"b", "c"})
	byBytes := declare(t, ch, amqp.Table{"x-max-length-bytes": 5})
	send(t, ch, byBytes, "aaa", "bb", "cc")
	same(t, drain(t, ch, byBytes), []string{"bb", "cc"})
}

// deadLetters are a queue and an exchange that leads to it.
func deadLetters(t *testing.T, ch *amqp.Channel) (string, string) {
	t.Helper()
	to, queue := exchange(t, ch, amqp.ExchangeFanout), declare(t, ch, nil)
	must(t, ch.QueueBind(queue, "", to, false, nil))
	return to, queue
}

func TestDeadLettersSayWhereAndWhyTheyDied(t *testing.T) {
	ch := channel(t)
	for reason, die := range map[string]func(to string) string{
		"rejected": func(to string) string {
			queue := declare(t, ch, amqp.Table{"x-dead-letter-exchange": to})
			send(t, ch, queue, "m")
			must(t, func() error { got := get(t, ch, queue, false); return got.Reject(false) }())
			return queue
		},
		"expired": func(to string) string {
			queue := declare(t, ch, amqp.Table{"x-dead-letter-exchange": to, "x-message-ttl": 1})
			send(t, ch, queue, "m")
			return queue
		},
		"maxlen": func(to string) string {
			queue := declare(t, ch, amqp.Table{"x-dead-letter-exchange": to, "x-max-length": 1})
			send(t, ch, queue, "m", "n")
			return queue
		},
		"delivery_limit": func(to string) string {
			queue := declare(t, ch, amqp.Table{
				"x-dead-letter-exchange": to, "x-queue-type": "quorum", "x-delivery-limit": 1,
			})
			send(t, ch, queue, "m")
			for range 2 {
				must(t, func() error { got := get(t, ch, queue, false); return got.Reject(true) }())
			}
			return queue
		},
	} {
		to, dead := deadLetters(t, ch)
		queue := die(to)
		letter := get(t, ch, dead, true)
		same(t, string(letter.Body), "m")
		same(t, []any{letter.Exchange, letter.RoutingKey}, []any{to, queue})
		death := letter.Headers["x-death"].([]any)[0].(amqp.Table)
		same(t, []any{death["queue"], death["reason"], death["count"], death["exchange"]},
			[]any{queue, reason, int64(1), ""})
		same(t, death["routing-keys"], []any{queue})
		same(t, letter.Headers["x-first-death-reason"], reason)
		same(t, letter.Headers["x-last-death-queue"], queue)
		if age := time.Since(death["time"].(time.Time)); age < -2*time.Second || age > limit {
			t.Fatal(age)
		}
	}
}

func TestADeadLetterGetsAnotherKeyAndLosesItsTimeToLive(t *testing.T) {
	ch := channel(t)
	dead := declare(t, ch, nil)
	queue := declare(t, ch, amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead,
	})
	message := text("m")
	message.Expiration = "1"
	publish(t, ch, "", queue, message)
	letter := get(t, ch, dead, true)
	same(t, []any{letter.RoutingKey, letter.Expiration}, []any{dead, ""})
	death := letter.Headers["x-death"].([]any)[0].(amqp.Table)
	same(t, death["original-expiration"], "1")
}

func TestARefusedPublishIsDeadLettered(t *testing.T) {
	ch := channel(t)
	to, dead := deadLetters(t, ch)
	queue := declare(t, ch, amqp.Table{
		"x-max-length": 1, "x-overflow": "reject-publish-dlx", "x-dead-letter-exchange": to,
	})
	must(t, ch.Confirm(false))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 10))
	send(t, ch, queue, "kept", "refused")
	same(t, await(t, "confirm", confirms).Ack, true)
	same(t, await(t, "nack", confirms).Ack, false)
	letter := get(t, ch, dead, true)
	same(t, string(letter.Body), "refused")
	death := letter.Headers["x-death"].([]any)[0].(amqp.Table)
	same(t, []any{death["reason"], death["queue"]}, []any{"maxlen", queue})
	same(t, drain(t, ch, queue), []string{"kept"})
}

func TestAQuorumQueueCountsDeliveries(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, amqp.Table{"x-queue-type": "quorum"})
	send(t, ch, queue, "m")
	first := get(t, ch, queue, false)
	if _, counted := first.Headers["x-delivery-count"]; counted {
		t.Fatal("the first is counted")
	}
	must(t, first.Nack(false, true))
	same(t, get(t, ch, queue, true).Headers["x-delivery-count"], int64(1))
}
