use super::stock::Supply;
use super::*;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Asks for `/<op>` and remembers how each request ended.
#[derive(Default)]
struct Numbers {
    endings: Mutex<Vec<(u64, Ending)>>,
    again: bool,
}

impl Work for Numbers {
    fn render(&self, op: u64, out: &mut Vec<u8>) -> Result<bool, RenderError> {
        out.extend_from_slice(format!("GET /{op} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
        Ok(false)
    }

    fn ended(&self, op: u64, ending: Ending) {
        self.endings.lock().unwrap().push((op, ending));
    }

    fn again(&self, _op: u64, ending: Ending) -> Option<Duration> {
        let unknown = ending == Ending::Refused(404);
        (self.again && unknown).then_some(Duration::from_millis(1))
    }
}

/// Answers every request on every connection with what `answer` makes of its number.
fn server(answer: fn(u64) -> String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, seen) = (stream.unwrap(), Arc::clone(&seen));
            std::thread::spawn(move || {
                let mut request = [0; 1024];
                while stream.read(&mut request).unwrap_or(0) > 0 {
                    let answer = answer(seen.fetch_add(1, Ordering::SeqCst));
                    if answer.is_empty() || stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn receipt(number: u64) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nclick-id: 017f22e2-79b0-7cc3-98c4-{number:012x}\r\n\
         location: https://x.example/\r\ncontent-length: 0\r\n\r\n"
    )
}

fn status(code: u16) -> String {
    format!("HTTP/1.1 {code} No\r\ncontent-length: 0\r\n\r\n")
}

fn options(address: SocketAddr, pace: Pace) -> Options {
    Options {
        address,
        connections: 8,
        threads: 2,
        pace,
        patience: Patience::default(),
        give_up: Duration::from_millis(200),
    }
}

fn run(address: SocketAddr, pace: Pace, work: &Arc<Numbers>) -> Summary {
    let work: Arc<dyn Work> = Arc::clone(work) as Arc<dyn Work>;
    let run = start(options(address, pace), work, None).unwrap();
    let summary = run.join().unwrap();
    let ways = summary.receipts
        + summary.refused.values().sum::<u64>()
        + summary.indeterminate_count()
        + summary.odd_count()
        + summary.not_sent;
    assert_eq!(summary.planned, ways, "{summary:?}");
    summary
}

fn closed(total: u64) -> Pace {
    Pace::Closed {
        total: Some(total),
        duration: None,
    }
}

#[test]
fn every_request_is_made_once_and_ends_in_one_way() {
    let address = server(|number| match number % 10 {
        0 => status(403),
        1 => String::new(),
        2 => status(302),
        _ => receipt(number),
    });
    let work = Arc::new(Numbers::default());
    let summary = run(address, closed(500), &work);
    assert_eq!(summary.sent, 500);
    assert_eq!(summary.refused.get(&403), Some(&50));
    assert_eq!(summary.indeterminate.get("closed"), Some(&50));
    assert_eq!(summary.odd.get(&302), Some(&50));
    assert_eq!(summary.receipts, 350);
    let endings = work.endings.lock().unwrap();
    let ops: BTreeSet<u64> = endings.iter().map(|(op, _)| *op).collect();
    assert_eq!((ops.len(), endings.len()), (500, 500));
}

#[test]
fn an_answer_that_does_not_come_is_given_up_and_costs_its_connection() {
    // Half an answer, and then nothing: what may have been recorded is not sent again.
    let address = server(|number| match number {
        3 => "HTTP/1.1 302 Found\r\n".to_owned(),
        _ => receipt(number),
    });
    let mut options = options(address, closed(20));
    options.patience.answer = Duration::from_millis(100);
    let run = start(options, Arc::new(Numbers::default()), None).unwrap();
    let summary = run.join().unwrap();
    assert_eq!(summary.indeterminate.get("timed_out"), Some(&1));
    assert_eq!(summary.receipts, 19);
}

#[test]
fn requests_are_made_in_order_and_each_once() {
    // More than lie ready at once, and a number that no batch divides.
    let work = Numbers::default();
    let stock = Stock::default();
    let planned = 270_003;
    std::thread::scope(|scope| {
        scope.spawn(|| stock.fill(Some(planned), &work));
        stock.wait_until_full();
        let mut next = 0;
        loop {
            match stock.take().unwrap() {
                Supply::Over => break,
                Supply::Later => std::thread::yield_now(),
                Supply::Batch(batch) => {
                    let mut index = 0;
                    while let Some(op) = batch.op(index) {
                        assert_eq!(op, next);
                        let expected = format!("GET /{op} HTTP/1.1\r\nhost: x\r\n\r\n");
                        assert_eq!(batch.request(index), (expected.as_bytes(), false));
                        (next, index) = (next + 1, index + 1);
                    }
                    stock.give_back(batch);
                }
            }
        }
        assert_eq!(next, planned);
    });
}

#[test]
fn an_open_pace_charges_a_stall_to_all_who_wait_behind_it() {
    // One connection and a server that stalls once for 300 ms: the requests that were due
    // meanwhile leave late, and their latency counts from when they were due.
    let address = server(|number| {
        if number == 20 {
            std::thread::sleep(Duration::from_millis(300));
        }
        receipt(number)
    });
    let pace = Pace::Rate {
        per_second: 200,
        duration: Duration::from_millis(1000),
    };
    let mut options = options(address, pace);
    options.connections = 1;
    let run = start(options, Arc::new(Numbers::default()), None).unwrap();
    let summary = run.join().unwrap();
    assert_eq!(summary.receipts, 200);
    // 60 requests were due during the stall, so the 90th of 100 waited about 200 ms; a driver
    // that forgets them (service time) shows one slow request of 200.
    assert!(summary.latency.p99_us > 200_000, "{summary:?}");
    assert!(summary.latency.max_us >= 290_000, "{summary:?}");
}

#[test]
fn a_dead_target_ends_the_run_with_a_count() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let paces = [
        closed(1_000_000),
        Pace::Rate {
            per_second: 100,
            duration: Duration::from_secs(3600),
        },
        Pace::Timed(vec![Duration::from_secs(3600); 10]),
    ];
    for pace in paces {
        let planned = pace.planned().unwrap();
        // The last pace asks for nothing before an hour is over, so somebody must stop it.
        let waits = matches!(pace, Pace::Timed(_));
        let run = start(options(address, pace), Arc::new(Numbers::default()), None).unwrap();
        if waits {
            run.stop();
        }
        let summary = run.join().unwrap();
        assert_eq!((summary.sent, summary.not_sent), (0, planned));
    }
}

#[test]
fn what_is_refused_can_be_sent_again_and_is_counted_once() {
    let address = server(|number| match number {
        0..40 => status(404),
        _ => receipt(number),
    });
    let work = Arc::new(Numbers {
        again: true,
        ..Numbers::default()
    });
    let summary = run(address, closed(30), &work);
    assert_eq!((summary.planned, summary.receipts), (30, 30));
}

#[test]
fn the_history_tells_of_every_request() {
    let address = server(|number| match number % 3 {
        0 => status(403),
        1 => String::new(),
        _ => receipt(number),
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    let out: Box<dyn io::Write + Send> = Box::new(file.reopen().unwrap());
    let history = Arc::new(history::Writer::new(out));
    let work = Arc::new(Numbers::default());
    let run = start(options(address, closed(90)), work.clone(), Some(history)).unwrap();
    run.join().unwrap();
    let read = history::read(io::BufReader::new(file.reopen().unwrap())).unwrap();
    for (op, ending) in work.endings.lock().unwrap().iter() {
        let fate = read.by_op.get(op).unwrap().fate;
        assert_eq!(fate, history::Fate::from(*ending), "request {op}");
    }
    assert_eq!(read.by_op.len(), 90);
}
