use super::*;
use mio::{Events, Poll};
use std::net::TcpListener;

const ID: &str = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";

/// Serves the given answers, one a request, on one connection after another: an answer that ends
/// in `!` hangs up after it.
fn server(answers: Vec<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        while let Ok((mut stream, _)) = listener.accept() {
            loop {
                let mut request = [0; 4096];
                if stream.read(&mut request).unwrap_or(0) == 0 {
                    break;
                }
                let Some(answer) = answers.next() else { return };
                let hangs_up = answer.ends_with('!');
                stream
                    .write_all(answer.trim_end_matches('!').as_bytes())
                    .unwrap();
                if hangs_up {
                    break;
                }
            }
        }
    });
    address
}

/// A connection and what watches it.
struct Watched {
    connection: Connection,
    poll: Poll,
    events: Events,
}

impl Watched {
    fn open(address: SocketAddr) -> io::Result<Watched> {
        let poll = Poll::new()?;
        let mut connection = Connection::open(address)?;
        connection.watch(poll.registry(), Token(0))?;
        let events = Events::with_capacity(8);
        let mut watched = Watched {
            connection,
            poll,
            events,
        };
        while !watched.connection.opened()? {
            watched.wait();
        }
        Ok(watched)
    }

    /// Waits for an event; whether it says that the other side has hung up.
    fn wait(&mut self) -> bool {
        let patience = Some(Duration::from_secs(10));
        self.poll.poll(&mut self.events, patience).unwrap();
        assert!(!self.events.is_empty(), "nothing comes any more");
        self.events.iter().any(|event| event.is_read_closed())
    }

    fn exchange(&mut self, request: &[u8], head: bool) -> Result<Answer, ExchangeError> {
        self.connection.send(request)?;
        let mut ended = false;
        loop {
            // A scratch buffer that is too small for most answers, so that they come in pieces.
            let mut scratch = [0; 40];
            let heard = self.connection.go_on((request, head), ended, &mut scratch);
            if let Some(answer) = heard {
                return answer.map_err(ExchangeError::Lost);
            }
            ended = self.wait();
        }
    }
}

fn ask(answers: &[&str], head: bool) -> Vec<Result<Answer, ExchangeError>> {
    let address = server(answers.iter().map(|answer| (*answer).to_owned()).collect());
    let mut watched = Watched::open(address).unwrap();
    let exchange = |_| watched.exchange(b"GET / HTTP/1.1\r\n\r\n", head);
    answers.iter().map(exchange).collect()
}

fn endings(answers: &[&str]) -> Vec<Ending> {
    let ending = |result: Result<Answer, ExchangeError>| match result {
        Ok(answer) => answer.ending(),
        Err(error) => error.into(),
    };
    ask(answers, false).into_iter().map(ending).collect()
}

#[test]
fn a_receipt_is_a_302_with_a_click_id_and_a_location() {
    let receipt = format!(
        "HTTP/1.1 302 Found\r\nclick-id: {ID}\r\nLocation: https://x/\r\ncontent-length: 0\r\n\r\n"
    );
    let body = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    assert_eq!(
        endings(&[&receipt, body, &receipt]),
        [
            Ending::Receipt(ID.parse().unwrap()),
            Ending::Refused(403),
            Ending::Receipt(ID.parse().unwrap())
        ]
    );
}

#[test]
fn an_answer_that_no_edge_may_give_is_odd() {
    for odd in [
        "HTTP/1.1 302 Found\r\nlocation: https://x/\r\ncontent-length: 0\r\n\r\n".to_owned(),
        format!("HTTP/1.1 302 Found\r\nclick-id: {ID}\r\ncontent-length: 0\r\n\r\n"),
        format!("HTTP/1.1 403 No\r\nclick-id: {ID}\r\ncontent-length: 0\r\n\r\n"),
        format!("HTTP/1.1 503 No\r\nclick-id: {ID}\r\ncontent-length: 0\r\n\r\n"),
        "HTTP/1.1 302 Found\r\nlocation: /\r\nclick-id: x\r\ncontent-length: 0\r\n\r\n".to_owned(),
    ] {
        let ending = endings(&[&odd]);
        assert!(
            matches!(ending.as_slice(), [Ending::Odd(_)]),
            "{odd} {ending:?}"
        );
    }
}

#[test]
fn a_lost_answer_is_indeterminate_and_an_unsent_request_is_not() {
    let half = "HTTP/1.1 302 Found\r\nclick-id: 017f!";
    assert_eq!(endings(&[half]), [Ending::Indeterminate(Lost::Closed)]);
    let garbled = "SSH-2.0-x\r\n\r\n";
    assert_eq!(endings(&[garbled]), [Ending::Indeterminate(Lost::Garbled)]);
    let failed = "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(endings(&[failed]), [Ending::Indeterminate(Lost::Failed)]);
    let busy = "HTTP/1.1 503 No\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(endings(&[busy]), [Ending::Indeterminate(Lost::Busy)]);
    // The words of the two answers: only one of them is sure.
    let unknown = "HTTP/1.1 503 No\r\nretry-after: 1\r\ncontent-length: 14\r\n\r\nindeterminate\n";
    assert_eq!(endings(&[unknown]), [Ending::Indeterminate(Lost::Busy)]);
    let overloaded = "HTTP/1.1 503 No\r\nretry-after: 1\r\ncontent-length: 11\r\n\r\noverloaded\n";
    assert_eq!(endings(&[overloaded]), [Ending::Refused(503)]);
    let prefetch = "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(endings(&[prefetch]), [Ending::Refused(503)]);
    let closing = "HTTP/1.1 400 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(
        endings(&[closing, closing]),
        [Ending::Refused(400), Ending::NotSent]
    );
}

#[test]
fn a_head_has_no_body_and_a_body_without_length_ends_with_the_connection() {
    let head = "HTTP/1.1 404 No\r\ncontent-length: 7\r\n\r\n";
    let answers = ask(&[head, head], true);
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(|a| a.status == 404))
    );
    let close = "HTTP/1.1 404 No\r\n\r\nseven b!";
    let answers = ask(&[close], false);
    assert_eq!(answers.first().unwrap().as_ref().unwrap().body_bytes, 7);
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let opened = Watched::open(address);
    assert_eq!(
        opened.err().map(|error| error.kind()),
        Some(ErrorKind::ConnectionRefused)
    );
}
