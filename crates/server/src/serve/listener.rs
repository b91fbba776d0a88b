//! Takes a port, or says in one line why not and which setting to change.

use crate::config::{Config, Listen};
use anyhow::{Context, anyhow, bail};
use std::{io, net::SocketAddr};
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tramline_types::limits::CONNECTIONS_PENDING_MAX;

/// Listens where the setting says; nowhere when it is off.
pub(super) async fn bind(
    setting: &'static str,
    listen: &Listen,
    config: &Config,
) -> anyhow::Result<Option<TcpListener>> {
    let Listen::At(address) = listen else { return Ok(None) };
    let resolved = lookup_host(address.as_str())
        .await
        .with_context(|| format!("`{setting}` = `{address}` has no address"))?;
    let mut last = None;
    for address in resolved {
        if !address.ip().is_loopback() && !config.insecure {
            bail!(
                "`{setting}` = `{address}` can be reached by other machines, and no security is \
                 configured: listen on 127.0.0.1, or allow it with --insecure"
            );
        }
        match listen_on(address) {
            Ok(listener) => return Ok(Some(listener)),
            Err(error) => last = Some(refused(setting, address, error)),
        }
    }
    Err(last.unwrap_or_else(|| anyhow!("`{setting}` = `{address}` has no address")))
}

/// The listeners for Kafka: none when it is off, one, or one for each virtual broker.
pub(super) async fn bind_kafka(config: &Config) -> anyhow::Result<Vec<TcpListener>> {
    let (setting, listen) = ("kafka.listen", &config.kafka.listen);
    let Some(first) = bind(setting, listen, config).await? else { return Ok(Vec::new()) };
    let own = first.local_addr()?;
    let is_any = matches!(listen, Listen::At(address) if address.ends_with(":0"));
    let mut all = vec![first];
    for place in 1..config.kafka.virtual_brokers {
        let port = if is_any { Some(0) } else { own.port().checked_add(place) };
        let port =
            port.context("`kafka.virtual_brokers`: no port is left behind `kafka.listen`")?;
        let next = Listen::At(SocketAddr::new(own.ip(), port).to_string());
        all.extend(bind(setting, &next, config).await?);
    }
    Ok(all)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port that the last process left with connections on their way out is free.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(CONNECTIONS_PENDING_MAX)
}

fn refused(setting: &str, address: SocketAddr, error: io::Error) -> anyhow::Error {
    let flag = setting.split('.').next().unwrap_or(setting);
    let (ip, port) = (address.ip(), address.port());
    match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "port {port} on {ip} is taken: stop the program that has it, or set `{setting}` \
             (--listen-{flag}) to another address or \"off\""
        ),
        io::ErrorKind::PermissionDenied => anyhow!(
            "port {port} on {ip} is not allowed to this user: set `{setting}` (--listen-{flag}) to \
             a port above 1023"
        ),
        _ => {
            anyhow::Error::from(error).context(format!("cannot listen on `{setting}` = {address}"))
        }
    }
}

/// The address that was really taken.
pub(super) fn local_addr(listener: &TcpListener) -> io::Result<SocketAddr> {
    listener.local_addr()
}
