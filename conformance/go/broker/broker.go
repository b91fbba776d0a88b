// Package broker runs the real binary on a data directory of its own and free ports, which it
// keeps when it is started again, so that clients find it. It is stopped by its process id.
package broker

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const (
	readyLimit = 60 * time.Second
	stopLimit  = 60 * time.Second
)

// Broker is one process at a time; Kafka, AMQP and SQS are its addresses.
type Broker struct {
	Kafka     string
	AMQP      string
	SQS       string
	directory string
	command   *exec.Cmd
	exited    chan error
}

func in(directory string) *Broker {
	const free = "127.0.0.1:0"
	return &Broker{Kafka: free, AMQP: free, SQS: free, directory: directory}
}

// Shared runs a package's tests with one broker, which must outlive them.
func Shared(m *testing.M, shared **Broker) {
	directory, err := os.MkdirTemp("", "tramline-")
	if err != nil {
		panic(err)
	}
	*shared = in(directory)
	if err := (*shared).start(); err != nil {
		panic(err)
	}
	code := m.Run()
	select {
	case err := <-(*shared).exited:
		fmt.Printf("the broker died: %v\n%s", err, (*shared).log())
		code = 1
	default:
		(*shared).Kill()
	}
	os.RemoveAll(directory)
	os.Exit(code)
}

// Own is a broker of one test's own, which ends with it.
func Own(t *testing.T) *Broker {
	t.Helper()
	broker := in(t.TempDir())
	broker.Start(t)
	t.Cleanup(broker.Kill)
	return broker
}

// Start starts it, also again on the same data.
func (b *Broker) Start(t *testing.T) {
	t.Helper()
	if err := b.start(); err != nil {
		t.Fatal(err)
	}
}

func (b *Broker) start() error {
	ready := filepath.Join(b.directory, "ready")
	config := filepath.Join(b.directory, "tramline.toml")
	os.Remove(ready)
	// No wait for further members, and none after a queue's deletion: each test knows its own.
	text := "[groups]\ninitial_rebalance_delay = \"0s\"\n" +
		"[sqs]\ndeleted_window = \"0s\"\npurged_window = \"0s\"\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(b.logFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	b.command = exec.Command(os.Getenv("TRAMLINE_BINARY"), "serve",
		"--config="+config,
		"--data-dir="+filepath.Join(b.directory, "data"),
		"--listen-kafka="+b.Kafka,
		"--listen-http=127.0.0.1:0",
		"--listen-amqp="+b.AMQP,
		"--listen-sqs="+b.SQS,
		"--ready-file="+ready)
	b.command.Stdout, b.command.Stderr = log, log
	if err := b.command.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	b.exited = exited
	go func(command *exec.Cmd) { exited <- command.Wait() }(b.command)
	for deadline := time.Now().Add(readyLimit); ; time.Sleep(10 * time.Millisecond) {
		if bytes, err := os.ReadFile(ready); err == nil {
			var addresses struct{ Kafka, AMQP, SQS string }
			if err := json.Unmarshal(bytes, &addresses); err != nil {
				return err
			}
			b.Kafka, b.AMQP, b.SQS = addresses.Kafka, addresses.AMQP, addresses.SQS
			return nil
		}
		select {
		case err := <-exited:
			return fmt.Errorf("the broker did not start: %v\n%s", err, b.log())
		default:
			if time.Now().After(deadline) {
				b.Kill()
				return fmt.Errorf("the broker is not ready:\n%s", b.log())
			}
		}
	}
}

// Stop is a clean end; its exit code must be 0.
func (b *Broker) Stop(t *testing.T) {
	t.Helper()
	if err := b.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-b.exited:
		if err != nil {
			t.Fatalf("the broker ended with %v:\n%s", err, b.log())
		}
	case <-time.After(stopLimit):
		t.Fatalf("the broker did not stop:\n%s", b.log())
	}
}

// Kill is kill -9: nothing is written out first.
func (b *Broker) Kill() {
	if b.command.Process.Kill() == nil {
		<-b.exited
	}
}

// Restart ends it one way or the other and starts it again.
func (b *Broker) Restart(t *testing.T, how string) {
	t.Helper()
	if how == "kill" {
		b.Kill()
	} else {
		b.Stop(t)
	}
	b.Start(t)
}

func (b *Broker) logFile() string { return filepath.Join(b.directory, "log") }

func (b *Broker) log() string {
	bytes, err := os.ReadFile(b.logFile())
	if err != nil {
		return err.Error()
	}
	return string(bytes[max(0, len(bytes)-4000):])
}

// Name is a name that no other test uses, for a topic or a group.
func Name() string {
	bytes := make([]byte, 6)
	rand.Read(bytes)
	return "t-" + hex.EncodeToString(bytes)
}

// Numbers are the texts of the numbers from..to.
func Numbers(from, to int) []string {
	numbers := make([]string, 0, to-from)
	for n := from; n < to; n++ {
		numbers = append(numbers, fmt.Sprint(n))
	}
	return numbers
}

// Until waits for a condition.
func Until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	const limit = 60 * time.Second
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come to be within %s", what, limit)
		}
	}
}
