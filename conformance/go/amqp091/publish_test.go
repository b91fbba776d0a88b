package amqp091

import (
	"context"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestPropertiesAndHeadersComeBackAsTheyWereSent(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	at := time.Unix(1_700_000_000, 0)
	sent := amqp.Publishing{
		ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: amqp.Persistent,
		Priority: 3, CorrelationId: "correlation", ReplyTo: "reply", Expiration: "60000",
		MessageId: "message", Timestamp: at, Type: "type", UserId: "guest", AppId: "app",
		Body: []byte("body"),
		Headers: amqp.Table{
			"bool": true, "byte": byte(200), "int8": int8(-8), "int16": int16(-16),
			"int32": int32(-32), "int64": int64(-64), "float32": float32(1.5),
			"float64": 2.25, "text": "käse", "bytes": []byte{0, 255}, "time": at,
			"nil": nil, "decimal": amqp.Decimal{Scale: 2, Value: 12345},
			"list":  []any{int32(1), "two", amqp.Table{"three": int64(3)}},
			"table": amqp.Table{"inner": amqp.Table{"deep": "x"}},
		},
	}
	publish(t, ch, "", queue, sent)
	got := get(t, ch, queue, true)
	same(t, got.Headers, sent.Headers)
	same(t, []any{got.ContentType, got.ContentEncoding, got.DeliveryMode, got.Priority},
		[]any{sent.ContentType, sent.ContentEncoding, sent.DeliveryMode, sent.Priority})
	same(t, []any{got.CorrelationId, got.ReplyTo, got.Expiration, got.MessageId, got.Type},
		[]any{sent.CorrelationId, sent.ReplyTo, sent.Expiration, sent.MessageId, sent.Type})
	same(t, []any{got.UserId, got.AppId, string(got.Body), got.Timestamp.Unix()},
		[]any{sent.UserId, sent.AppId, string(sent.Body), at.Unix()})
}

func TestAnotherUsersNameIsRefused(t *testing.T) {
	ch := channel(t)
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	publish(t, ch, "", "x", amqp.Publishing{UserId: "somebody"})
	same(t, await(t, "close", closed).Code, amqp.PreconditionFailed)
}

func TestBodiesOfEverySize(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, nil)
	for _, size := range []int{0, 1, 131_063, 131_064, 131_065, 1_000_000, 10_000_000} {
		body := make([]byte, size)
		for at := range body {
			body[at] = byte(at * 31)
		}
		publish(t, ch, "", queue, amqp.Publishing{Body: body})
		if got := get(t, ch, queue, true).Body; string(got) != string(body) {
			t.Fatalf("%d bytes came back as %d others", size, len(got))
		}
	}
}

func TestConfirmsComeInOrderForEveryPublish(t *testing.T) {
	const n = 2000
	ch := channel(t)
	queue := declare(t, ch, nil)
	must(t, ch.Confirm(false))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, n))
	for range n {
		publish(t, ch, "", queue, text("m"))
	}
	for tag := uint64(1); tag <= n; tag++ {
		same(t, await(t, "confirm", confirms), amqp.Confirmation{DeliveryTag: tag, Ack: true})
	}
	same(t, ready(t, ch, queue), n)
}

func TestADeferredConfirmOfEachChannelIsItsOwn(t *testing.T) {
	connection := connect(t)
	first, second := open(t, connection), open(t, connection)
	queue := declare(t, first, nil)
	for range 100 {
		for _, ch := range []*amqp.Channel{first, second} {
			must(t, ch.Confirm(false))
			confirm, err := ch.PublishWithDeferredConfirm("", queue, false, false, text("m"))
			must(t, err)
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			acked, err := confirm.WaitContext(ctx)
			cancel()
			must(t, err)
			same(t, acked, true)
		}
	}
}

func TestAFullQueueRefusesWithANack(t *testing.T) {
	ch := channel(t)
	queue := declare(t, ch, amqp.Table{"x-max-length": 2, "x-overflow": "reject-publish"})
	must(t, ch.Confirm(false))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 10))
	for tag := uint64(1); tag <= 4; tag++ {
		publish(t, ch, "", queue, text("m"))
		expected := amqp.Confirmation{DeliveryTag: tag, Ack: tag <= 2}
		same(t, await(t, "confirm", confirms), expected)
	}
	same(t, ready(t, ch, queue), 2)
}

func TestATransactionIsAllOrNothing(t *testing.T) {
	ch, other := channel(t), channel(t)
	source, target := declare(t, ch, nil), declare(t, ch, nil)
	send(t, ch, source, "work")
	must(t, ch.Tx())
	work := get(t, ch, source, false)
	send(t, ch, target, "result")
	must(t, work.Ack(false))
	same(t, ready(t, other, target), 0)
	must(t, ch.TxRollback())
	same(t, ready(t, other, target), 0)
	send(t, ch, target, "result")
	must(t, work.Ack(false))
	must(t, ch.TxCommit())
	same(t, drain(t, other, target), []string{"result"})
	must(t, ch.Close())
	same(t, drain(t, other, source), []string{})
}

func TestAMessageForNobodyIsConfirmed(t *testing.T) {
	ch := channel(t)
	must(t, ch.Confirm(false))
	confirm, err := ch.PublishWithDeferredConfirm("amq.direct", "nobody", false, false, text("m"))
	must(t, err)
	same(t, confirm.Wait(), true)
}
