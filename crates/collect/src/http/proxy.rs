//! The PROXY protocol, v1 and v2, on listeners of its own: the first bytes of a connection say
//! whose connection a load balancer is passing on.

use std::io;
use std::net::IpAddr;

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest v1 header, by its specification.
const V1_BYTES_MAX: usize = 107;

/// The longest v2 header taken: addresses and some TLVs.
const V2_BYTES_MAX: usize = 1024;

/// Bytes of a v2 header up to and with its length.
const V2_START_BYTES: usize = 16;

/// Both kinds are told apart by their first bytes; no v1 header is shorter than this.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Reads a header, and not one byte more: what follows belongs to TLS or HTTP. None when the proxy
/// speaks for itself (a health check).
pub(crate) async fn read<S: AsyncRead + Unpin>(socket: &mut S) -> io::Result<Option<IpAddr>> {
    let mut header = vec![0; SIGNATURE.len()];
    socket.read_exact(&mut header).await?;
    if header == SIGNATURE {
        read_v2(socket, header).await
    } else {
        read_v1(socket, header).await
    }
}

async fn read_v2<S: AsyncRead + Unpin>(
    socket: &mut S,
    mut header: Vec<u8>,
) -> io::Result<Option<IpAddr>> {
    let mut rest = [0; V2_START_BYTES - SIGNATURE.len()];
    socket.read_exact(&mut rest).await?;
    let [_, _, high, low] = rest;
    let total = V2_START_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if total > V2_BYTES_MAX {
        return Err(malformed());
    }
    header.extend_from_slice(&rest);
    header.resize(total, 0);
    let addresses = header.get_mut(V2_START_BYTES..).unwrap_or_default();
    socket.read_exact(addresses).await?;
    let header = v2::Header::try_from(header.as_slice()).map_err(|_| malformed())?;
    if header.command == v2::Command::Local {
        return Ok(None);
    }
    match header.addresses {
        v2::Addresses::IPv4(pair) => Ok(Some(pair.source_address.into())),
        v2::Addresses::IPv6(pair) => Ok(Some(pair.source_address.into())),
        v2::Addresses::Unspecified => Ok(None),
        v2::Addresses::Unix(_) => Err(malformed()),
    }
}

/// A line whose length nobody states: read byte by byte, so that none too many is taken. Proxies
/// keep their connections, so this is rare.
async fn read_v1<S: AsyncRead + Unpin>(
    socket: &mut S,
    mut header: Vec<u8>,
) -> io::Result<Option<IpAddr>> {
    if !header.starts_with(b"PROXY ") {
        return Err(malformed());
    }
    while !header.ends_with(b"\r\n") {
        if header.len() >= V1_BYTES_MAX {
            return Err(malformed());
        }
        header.push(socket.read_u8().await?);
    }
    let header = v1::Header::try_from(header.as_slice()).map_err(|_| malformed())?;
    match header.addresses {
        v1::Addresses::Tcp4(pair) => Ok(Some(pair.source_address.into())),
        v1::Addresses::Tcp6(pair) => Ok(Some(pair.source_address.into())),
        v1::Addresses::Unknown => Ok(None),
    }
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Builder;

    fn parse(bytes: &[u8]) -> (Result<Option<IpAddr>, io::ErrorKind>, usize) {
        let runtime = Builder::new_current_thread().build().unwrap();
        let mut rest = bytes;
        let read = runtime
            .block_on(read(&mut rest))
            .map_err(|error| error.kind());
        (read, rest.len())
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = (addresses.len() as u16).to_be_bytes();
        [
            &SIGNATURE[..],
            &[0x20 | command, family],
            &length,
            addresses,
            b"GET",
        ]
        .concat()
    }

    #[test]
    fn both_versions_name_the_client_and_leave_the_rest() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x1F, 0x90];
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 1, 0x0D, 0xB8]);
        let rows = [
            (
                b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 8080\r\nGET".to_vec(),
                Some("192.0.2.7"),
            ),
            (
                b"PROXY TCP6 2001:db8:: ::1 12345 8080\r\nGET".to_vec(),
                Some("2001:db8::"),
            ),
            (b"PROXY UNKNOWN\r\nGET".to_vec(), None),
            (v2(1, 0x11, &v4), Some("192.0.2.7")),
            (v2(1, 0x21, &v6), Some("2001:db8::")),
            (v2(0, 0, &[]), None),
        ];
        for (bytes, expected) in rows {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(parse(&bytes), (Ok(expected), 3), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 200], b"\r\n"].concat();
        for bytes in [
            &b"GET /c/abc HTTP/1.1\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.7\r\n\r\n\r\n",
            b"PROXY TCP4 192.0.2.777 10.0.0.1 12345 8080\r\n",
            &long,
            &v2(1, 0x11, &[0; 4]),
            &v2(1, 0x31, &[0; 216]),
            &v2(1, 0x11, &[0; 2_000]),
        ] {
            assert_eq!(
                parse(bytes).0,
                Err(io::ErrorKind::InvalidData),
                "{}",
                bytes.escape_ascii()
            );
        }
        assert_eq!(
            parse(b"PROXY TCP4 192").0,
            Err(io::ErrorKind::UnexpectedEof)
        );
    }
}
