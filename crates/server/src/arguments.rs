//! What may be typed: every command with its options, and examples in its help.

mod channel;
mod config_push;
mod group;
mod job;
mod message;
mod queue;
mod topic;

use crate::config::{Listen, LogFormat};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

pub(crate) use channel::{ChannelCommand, ChannelOutput, ChannelPub, ChannelSet, ChannelSub};
pub(crate) use config_push::{ConfigPushCommand, ConfigPut, ConfigWatch};
pub(crate) use group::{GroupCommand, GroupReset};
pub(crate) use job::JobCommand;
pub(crate) use message::{Pub, Sub, SubOutput};
pub(crate) use queue::{
    Binding, BindingCommand, ConnectionCommand, ExchangeCommand, Only, QueueCommand, QueueGet,
    QueuePlaces, QueuePut, QueueRedrive, QueueReplay, Start,
};
pub(crate) use topic::{Order, TopicAlter, TopicCommand, TopicCreate};

/// One broker for queues, streams and realtime messages.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  tramline serve                                 start a broker on this machine
  tramline pub greetings hello                   publish a message
  tramline sub greetings --from-beginning        read it, and what comes after it
  tramline topic create orders --partitions 3    create a topic

The commands speak to http://127.0.0.1:8080 unless --server or TRAMLINE_SERVER says otherwise."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start a broker and stay in the foreground
    #[command(after_help = "\
Examples:
  tramline serve
  tramline serve --data-dir /var/lib/tramline --config /etc/tramline.toml
  tramline serve --listen-http off --listen-kafka 127.0.0.1:0

Stop it with Ctrl-C or SIGTERM. `tramline config print-default` prints all settings.")]
    Serve(Serve),
    /// Create, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Publish messages: the given values, or one per line of the standard input
    #[command(after_help = message::PUB_EXAMPLES)]
    Pub(Pub),
    /// Follow a topic and print its messages
    #[command(after_help = message::SUB_EXAMPLES)]
    Sub(Sub),
    /// List, describe, reset and delete consumer groups
    #[command(subcommand)]
    Group(GroupCommand),
    /// Declare, list, describe, fill, read, purge and delete queues
    #[command(subcommand)]
    Queue(QueueCommand),
    /// See what became of messages: get, list, watch and cancel jobs
    #[command(subcommand)]
    Job(JobCommand),
    /// Declare, list, describe and delete exchanges
    #[command(subcommand)]
    Exchange(ExchangeCommand),
    /// Add, list and remove bindings
    #[command(subcommand)]
    Binding(BindingCommand),
    /// Publish on realtime channels, follow them, and set how they behave
    #[command(subcommand)]
    Channel(ChannelCommand),
    /// List and close client connections
    #[command(subcommand)]
    Connection(ConnectionCommand),
    /// Put, get, follow, roll out and roll back values that are pushed to their subscribers
    #[command(subcommand)]
    ConfigPush(ConfigPushCommand),
    /// Check this machine: data directory, disk, ports, limits
    #[command(after_help = "\
Examples:
  tramline doctor
  tramline doctor --data-dir /var/lib/tramline
  tramline doctor --config /etc/tramline.toml --output json")]
    Doctor(Doctor),
    /// Print the configuration file
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  tramline completions bash > ~/.local/share/bash-completion/completions/tramline
  tramline completions zsh > ~/.zfunc/_tramline")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `tramline serve`.
#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) local: Local,
    /// Write the addresses as JSON to this file as soon as the broker is ready
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Allow listeners that other machines can reach although no security is configured
    #[arg(long)]
    pub(crate) insecure: bool,
    /// The least important log lines to write, such as debug or info,tramline_kafka=debug
    #[arg(long, value_name = "LEVEL", env = "TRAMLINE_LOG")]
    pub(crate) log_level: Option<String>,
    /// How log lines look
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

/// What a broker on this machine uses.
#[derive(Args)]
pub(crate) struct Local {
    /// The configuration file; the defaults apply without one
    #[arg(long, value_name = "FILE", env = "TRAMLINE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything durable lives [default: ./tramline-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The HTTP API's address, or off [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen_http: Option<Listen>,
    /// The Kafka address, or off [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen_kafka: Option<Listen>,
    /// The AMQP 0-9-1 address, or off [default: 127.0.0.1:5672]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen_amqp: Option<Listen>,
    /// The SQS address, or off [default: 127.0.0.1:9324]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen_sqs: Option<Listen>,
}

/// `tramline doctor`.
#[derive(Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) local: Local,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// `tramline config`.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the default file with every key explained
    #[command(after_help = "\
Example:
  tramline config print-default > tramline.toml")]
    PrintDefault,
}

/// Which broker to speak to, and how to print what it says.
#[derive(Args)]
pub(crate) struct Client {
    /// The broker's HTTP address
    #[arg(
        long,
        value_name = "URL",
        env = "TRAMLINE_SERVER",
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) server: String,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For machines
    Json,
}

/// Where to ask, and how to print.
#[derive(Args)]
pub(crate) struct Asking {
    #[command(flatten)]
    pub(crate) client: Client,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl std::str::FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err(format!("`{text}` is not of the form name=value")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// Calls `visit` with the full name of every command that does something.
    fn leaves(command: &clap::Command, name: &str, visit: &mut dyn FnMut(&str, &clap::Command)) {
        let mut inner = command.get_subcommands().filter(|c| c.get_name() != "help").peekable();
        if inner.peek().is_none() {
            visit(name, command);
        }
        for command in inner {
            leaves(command, &format!("{name} {}", command.get_name()), visit);
        }
    }

    #[test]
    fn the_arguments_hold_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_and_is_documented() {
        let page = include_str!("../../../docs/cli.md");
        leaves(&Arguments::command(), "tramline", &mut |name, command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(name), "`{name} --help` shows no example of itself");
            assert!(page.contains(name), "docs/cli.md does not mention `{name}`");
        });
    }
}
