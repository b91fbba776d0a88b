package amqp091

import (
	"context"
	"slices"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"tramline/conformance/broker"
)

func bind(t *testing.T, ch *amqp.Channel, queue, key, exchange string, arguments amqp.Table) {
	t.Helper()
	must(t, ch.QueueBind(queue, key, exchange, false, arguments))
}

func TestDirect(t *testing.T) {
	ch := channel(t)
	from, queue := exchange(t, ch, amqp.ExchangeDirect), declare(t, ch, nil)
	bind(t, ch, queue, "a", from, nil)
	bind(t, ch, queue, "b", from, nil)
	for _, key := range []string{"a", "b", "c", "a"} {
		publish(t, ch, from, key, text(key))
	}
	same(t, drain(t, ch, queue), []string{"a", "b", "a"})
	must(t, ch.QueueUnbind(queue, "a", from, nil))
	publish(t, ch, from, "a", text("unbound"))
	publish(t, ch, from, "b", text("bound"))
	same(t, drain(t, ch, queue), []string{"bound"})
}

func TestFanout(t *testing.T) {
	ch := channel(t)
	from := exchange(t, ch, amqp.ExchangeFanout)
	queues := []string{declare(t, ch, nil), declare(t, ch, nil), declare(t, ch, nil)}
	for _, queue := range queues {
		bind(t, ch, queue, "", from, nil)
	}
	publish(t, ch, from, "any", text("m"))
	for _, queue := range queues {
		same(t, drain(t, ch, queue), []string{"m"})
	}
}

func TestTopic(t *testing.T) {
	ch := channel(t)
	from := exchange(t, ch, amqp.ExchangeTopic)
	keys := []string{"a", "a.b", "a.b.c", "b.a", "", "a..c"}
	for pattern, expected := range map[string][]string{
		"#":     keys,
		"a.*":   {"a.b"},
		"a.#":   {"a", "a.b", "a.b.c", "a..c"},
		"*.b.#": {"a.b", "a.b.c"},
		"#.c":   {"a.b.c", "a..c"},
		"a.*.c": {"a.b.c", "a..c"},
	} {
		queue := declare(t, ch, nil)
		bind(t, ch, queue, pattern, from, nil)
		for _, key := range keys {
			publish(t, ch, from, key, text(key))
		}
		same(t, drain(t, ch, queue), expected)
		_, err := ch.QueueDelete(queue, false, false, false)
		must(t, err)
	}
}

func TestHeaders(t *testing.T) {
	ch := channel(t)
	from := exchange(t, ch, amqp.ExchangeHeaders)
	messages := []amqp.Table{
		{"a": int32(1), "b": "x"},
		{"a": int64(1)},
		{"b": "x", "x-c": true},
		{},
	}
	for _, one := range []struct {
		arguments amqp.Table
		matched   []string
	}{
		{amqp.Table{"x-match": "all", "a": int16(1), "b": "x"}, []string{"0"}},
		{amqp.Table{"x-match": "any", "a": int16(1), "b": "x"}, []string{"0", "1", "2"}},
		{amqp.Table{"x-match": "all-with-x", "b": "x", "x-c": true}, []string{"2"}},
		{amqp.Table{"x-match": "any-with-x", "a": int16(1), "x-c": true}, []string{"0", "1", "2"}},
		{amqp.Table{"x-match": "all", "b": nil}, []string{"0", "2"}},
	} {
		queue := declare(t, ch, nil)
		bind(t, ch, queue, "", from, one.arguments)
		for n, headers := range messages {
			message := text(string(rune('0' + n)))
			message.Headers = headers
			publish(t, ch, from, "", message)
		}
		same(t, drain(t, ch, queue), one.matched)
		must(t, ch.QueueUnbind(queue, "", from, one.arguments))
	}
	queue := declare(t, ch, nil)
	err := ch.QueueBind(queue, "", from, false, amqp.Table{"x-match": "some"})
	refused(t, err, amqp.PreconditionFailed)
}

func TestExchangeToExchange(t *testing.T) {
	ch := channel(t)
	first, second := exchange(t, ch, amqp.ExchangeTopic), exchange(t, ch, amqp.ExchangeFanout)
	queue := declare(t, ch, nil)
	must(t, ch.ExchangeBind(second, "x.#", first, false, nil))
	bind(t, ch, queue, "", second, nil)
	publish(t, ch, first, "x.1", text("through"))
	publish(t, ch, first, "y", text("not"))
	same(t, drain(t, ch, queue), []string{"through"})
	must(t, ch.ExchangeUnbind(second, "x.#", first, false, nil))
	publish(t, ch, first, "x.1", text("not"))
	same(t, drain(t, ch, queue), []string{})
}

func TestAlternateExchange(t *testing.T) {
	ch := channel(t)
	rest, from := exchange(t, ch, amqp.ExchangeFanout), broker.Name()
	arguments := amqp.Table{"alternate-exchange": rest}
	must(t, ch.ExchangeDeclare(from, amqp.ExchangeDirect, true, false, false, false, arguments))
	queue, others := declare(t, ch, nil), declare(t, ch, nil)
	bind(t, ch, queue, "known", from, nil)
	bind(t, ch, others, "", rest, nil)
	publish(t, ch, from, "known", text("a"))
	publish(t, ch, from, "unknown", text("b"))
	same(t, drain(t, ch, queue), []string{"a"})
	same(t, drain(t, ch, others), []string{"b"})
}

func TestPredeclaredExchanges(t *testing.T) {
	ch := channel(t)
	for name, kind := range map[string]string{
		"amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic",
		"amq.headers": "headers", "amq.match": "headers",
	} {
		must(t, ch.ExchangeDeclarePassive(name, kind, true, false, false, false, nil))
	}
}

func TestAnAutoDeleteExchangeGoesWithItsLastBinding(t *testing.T) {
	ch := channel(t)
	name, queue := broker.Name(), declare(t, ch, nil)
	must(t, ch.ExchangeDeclare(name, "fanout", false, true, false, false, nil))
	bind(t, ch, queue, "", name, nil)
	must(t, ch.QueueUnbind(queue, "", name, nil))
	err := ch.ExchangeDeclarePassive(name, "fanout", false, true, false, false, nil)
	refused(t, err, amqp.NotFound)
}

func TestAnInternalExchangeTakesNothingFromClients(t *testing.T) {
	ch := channel(t)
	name := broker.Name()
	must(t, ch.ExchangeDeclare(name, "fanout", true, false, true, false, nil))
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	publish(t, ch, name, "", text("m"))
	same(t, await(t, "close", closed).Code, amqp.AccessRefused)
}

func TestCCAndBCC(t *testing.T) {
	ch := channel(t)
	queues := []string{declare(t, ch, nil), declare(t, ch, nil), declare(t, ch, nil)}
	message := text("m")
	message.Headers = amqp.Table{"CC": []any{queues[1]}, "BCC": []any{queues[2]}}
	publish(t, ch, "", queues[0], message)
	for _, queue := range queues {
		headers := get(t, ch, queue, true).Headers
		if _, seen := headers["BCC"]; seen {
			t.Fatal("BCC can be seen")
		}
		same(t, headers["CC"], []any{queues[1]})
	}
}

func TestMandatoryMessagesComeBackBeforeTheirConfirm(t *testing.T) {
	ch := channel(t)
	must(t, ch.Confirm(false))
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	message := text("lost")
	message.MessageId = "id"
	confirm, err := ch.PublishWithDeferredConfirm("", broker.Name(), true, false, message)
	must(t, err)
	returned := await(t, "return", returns)
	same(t, []any{int(returned.ReplyCode), returned.ReplyText}, []any{amqp.NoRoute, "NO_ROUTE"})
	same(t, []string{string(returned.Body), returned.MessageId}, []string{"lost", "id"})
	acked, err := confirm.WaitContext(context.Background())
	must(t, err)
	same(t, acked, true)
}

func TestDeletingAnExchange(t *testing.T) {
	ch := channel(t)
	from, queue := exchange(t, ch, "direct"), declare(t, ch, nil)
	bind(t, ch, queue, "k", from, nil)
	other := channel(t)
	refused(t, other.ExchangeDelete(from, true, false), amqp.PreconditionFailed)
	must(t, ch.ExchangeDelete(from, false, false))
	must(t, ch.ExchangeDelete(from, false, false))
	err := ch.ExchangeDeclarePassive(from, "direct", true, false, false, false, nil)
	refused(t, err, amqp.NotFound)
}

func TestManyKeysOfOneMessageReachAQueueOnce(t *testing.T) {
	ch := channel(t)
	from, queue := exchange(t, ch, "topic"), declare(t, ch, nil)
	for _, key := range []string{"a", "b", "#"} {
		bind(t, ch, queue, key, from, nil)
	}
	message := text("once")
	message.Headers = amqp.Table{"CC": slices.Repeat([]any{"b"}, 10)}
	publish(t, ch, from, "a", message)
	same(t, drain(t, ch, queue), []string{"once"})
}
