//! The Kafka codec against the Java client, against another codec, and against hostile input.

mod frames;
mod golden;
mod hostile;
mod oracle;
mod produce;
mod sample;
