package amqp091

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"tramline/conformance/broker"
)

func TestErrorsOfAChannelAndTheirCodes(t *testing.T) {
	ch := channel(t)
	queue, from := declare(t, ch, nil), exchange(t, ch, "direct")
	for name, one := range map[string]struct {
		code int
		call func(ch *amqp.Channel) error
	}{
		"unknown queue": {404, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(broker.Name(), true, false, false, false, nil)
			return err
		}},
		"consume from an unknown queue": {404, func(ch *amqp.Channel) error {
			_, err := ch.Consume(broker.Name(), "", false, false, false, false, nil)
			return err
		}},
		"get from an unknown queue": {404, func(ch *amqp.Channel) error {
			_, _, err := ch.Get(broker.Name(), true)
			return err
		}},
		"purge of an unknown queue": {404, func(ch *amqp.Channel) error {
			_, err := ch.QueuePurge(broker.Name(), false)
			return err
		}},
		"bind to an unknown exchange": {404, func(ch *amqp.Channel) error {
			return ch.QueueBind(queue, "", broker.Name(), false, nil)
		}},
		"bind an unknown queue": {404, func(ch *amqp.Channel) error {
			return ch.QueueBind(broker.Name(), "", from, false, nil)
		}},
		"bind an unknown exchange": {404, func(ch *amqp.Channel) error {
			return ch.ExchangeBind(broker.Name(), "", from, false, nil)
		}},
		"bind to the default exchange": {403, func(ch *amqp.Channel) error {
			return ch.QueueBind(queue, "", "", false, nil)
		}},
		"unknown exchange": {404, func(ch *amqp.Channel) error {
			return ch.ExchangeDeclarePassive(broker.Name(), "direct", true, false, false, false, nil)
		}},
		"another type of exchange": {406, func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(from, "fanout", true, false, false, false, nil)
		}},
		"unknown type of exchange": {406, func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(broker.Name(), "odd", true, false, false, false, nil)
		}},
		"reserved exchange": {403, func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare("amq.mine", "direct", true, false, false, false, nil)
		}},
		"reserved queue": {403, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare("amq.mine", true, false, false, false, nil)
			return err
		}},
		"other arguments": {406, func(ch *amqp.Channel) error {
			arguments := amqp.Table{"x-max-length": 1}
			_, err := ch.QueueDeclare(queue, true, false, false, false, arguments)
			return err
		}},
		"not durable": {406, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, false, false, false, false, nil)
			return err
		}},
		"wrong argument": {406, func(ch *amqp.Channel) error {
			arguments := amqp.Table{"x-message-ttl": "soon"}
			_, err := ch.QueueDeclare(broker.Name(), true, false, false, false, arguments)
			return err
		}},
		"a stream": {406, func(ch *amqp.Channel) error {
			arguments := amqp.Table{"x-queue-type": "stream"}
			_, err := ch.QueueDeclare(broker.Name(), true, false, false, false, arguments)
			return err
		}},
		"confirms after transactions": {406, func(ch *amqp.Channel) error {
			must(t, ch.Tx())
			return ch.Confirm(false)
		}},
		"transactions after confirms": {406, func(ch *amqp.Channel) error {
			must(t, ch.Confirm(false))
			return ch.Tx()
		}},
		"a commit without a transaction": {406, func(ch *amqp.Channel) error {
			return ch.TxCommit()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			connection := connect(t)
			refused(t, one.call(open(t, connection)), one.code)
			open(t, connection)
		})
	}
}

func TestErrorsThatComeLater(t *testing.T) {
	for name, one := range map[string]struct {
		code int
		call func(ch *amqp.Channel) error
	}{
		"an unknown delivery tag": {406, func(ch *amqp.Channel) error { return ch.Ack(7, false) }},
		"an unknown exchange": {404, func(ch *amqp.Channel) error {
			return ch.Publish(broker.Name(), "", false, false, text("m"))
		}},
		"a wrong expiration": {406, func(ch *amqp.Channel) error {
			return ch.Publish("", "x", false, false, amqp.Publishing{Expiration: "soon"})
		}},
		"a message above the limit": {406, func(ch *amqp.Channel) error {
			body := make([]byte, 15<<20)
			return ch.Publish("", "x", false, false, amqp.Publishing{Body: body})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			connection := connect(t)
			ch := open(t, connection)
			closed := ch.NotifyClose(make(chan *amqp.Error, 1))
			must(t, one.call(ch))
			same(t, await(t, "close", closed).Code, one.code)
			open(t, connection)
		})
	}
}

func TestErrorsOfTheConnection(t *testing.T) {
	for name, one := range map[string]struct {
		code int
		call func(ch *amqp.Channel) error
	}{
		"immediate": {540, func(ch *amqp.Channel) error {
			return ch.Publish("", "x", false, true, text("m"))
		}},
		"prefetch by bytes": {540, func(ch *amqp.Channel) error { return ch.Qos(0, 1, false) }},
		"a consumer's tag twice": {530, func(ch *amqp.Channel) error {
			queue := declare(t, ch, nil)
			_, err := ch.Consume(queue, "tag", false, false, false, false, nil)
			must(t, err)
			other := declare(t, ch, nil)
			_, err = ch.Consume(other, "tag", false, false, false, false, nil)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			connection := connect(t)
			closed := connection.NotifyClose(make(chan *amqp.Error, 1))
			one.call(open(t, connection))
			same(t, await(t, "close", closed).Code, one.code)
		})
	}
}
