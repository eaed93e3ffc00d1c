//! The two servers that are compared, each in a session of its own on a pinned core.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::links::Links;

const READY_MAX: Duration = Duration::from_secs(60);

/// A running server; ended when it is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    /// Where it writes what must be kept of each click.
    pub(super) writes: PathBuf,
}

/// The command in a session of its own, raised above other sessions (`nice` alone does nothing
/// between sessions that are grouped automatically), pinned to a core.
pub(super) fn pinned(command: &Command, core: usize) -> Command {
    let mut pinned = Command::new("setsid");
    let raise = "echo -15 2>/dev/null >/proc/self/autogroup; exec taskset -c \"$0\" \"$@\"";
    pinned.args(["sh", "-c", raise, &core.to_string()]);
    pinned.arg(command.get_program()).args(command.get_args());
    pinned
}

/// nginx: answers 302 at once and keeps a full line per click, buffered and not synced.
pub(super) fn nginx(folder: &Path, core: usize) -> Result<Server> {
    let writes = folder.join("nginx");
    fs::create_dir_all(&writes)?;
    let address = free_address()?;
    let path = writes.display();
    let config = format!(
        "worker_processes 1;\nerror_log {path}/error.log warn;\npid {path}/pid;\ndaemon off;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n\
         log_format click '$msec|$request_id|$remote_addr|$http_x_forwarded_for|$request_uri|'\n\
         '$http_user_agent|$http_referer|$http_accept_language|$status';\n\
         access_log {path}/access.log click buffer=64k flush=1s;\n\
         keepalive_requests 1000000000; keepalive_timeout 75s;\n\
         client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;\n\
         fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi;\n\
         scgi_temp_path {path}/scgi;\n\
         server {{ listen {address} backlog=4096;\n\
         location /c/ {{ add_header Cache-Control no-store;\n\
         return 302 https://shop.example/landing/page?from=ad&click=$request_id; }} }} }}\n"
    );
    let file = writes.join("nginx.conf");
    fs::write(&file, config)?;
    let mut command = Command::new("nginx");
    command
        .arg("-e")
        .arg(writes.join("error.log"))
        .arg("-c")
        .arg(&file);
    start(&command, core, address, writes, "/c/x", 302)
}

/// The edge, as anybody would start it, on one thread.
pub(super) fn tollgate(
    binary: &Path,
    folder: &Path,
    links: &Links,
    durability: &str,
    core: usize,
) -> Result<Server> {
    let writes = folder.join("data");
    let address = free_address()?;
    let config = folder.join("tollgate.toml");
    let text = format!(
        "[edge]\nlisten = [\"{address}\"]\nthreads = 1\n[log]\ndurability = \"{durability}\"\n\
         [api]\nlisten = \"127.0.0.1:0\"\n[messages]\nlevel = \"warn\"\n"
    );
    fs::write(&config, text)?;
    let mut command = Command::new(binary);
    command
        .args(["serve", "--role", "collect", "--data"])
        .arg(&writes);
    command
        .arg("--config")
        .arg(&config)
        .arg("--keys")
        .arg(&links.keys);
    command
        .arg("--links")
        .arg(&links.links)
        .arg("--campaigns")
        .arg(&links.campaigns);
    start(&command, core, address, writes, "/readyz", 200)
}

fn start(
    command: &Command,
    core: usize,
    address: SocketAddr,
    writes: PathBuf,
    probe: &str,
    expected: u16,
) -> Result<Server> {
    let child = pinned(command, core)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let child = child.with_context(|| format!("starting {:?}", command.get_program()))?;
    let mut server = Server {
        child,
        address,
        writes,
    };
    let began = Instant::now();
    while server.status(probe).ok() != Some(expected) {
        if let Some(status) = server.child.try_wait()? {
            bail!("{:?} ended with {status}", command.get_program());
        }
        ensure!(
            began.elapsed() < READY_MAX,
            "{:?} is not ready",
            command.get_program()
        );
        thread::sleep(Duration::from_millis(1));
    }
    Ok(server)
}

impl Server {
    /// It and what it started.
    pub(super) fn processes(&self) -> Vec<u32> {
        let pid = self.child.id();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|child| child.parse().ok());
        std::iter::once(pid).chain(children).collect()
    }

    /// The status that a plain request gets.
    pub(super) fn status(&self, path: &str) -> Result<u16> {
        let answer = self.answer(path)?;
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
        status.context("no status line")
    }

    /// The head of the answer to a plain request.
    pub(super) fn answer(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Ends it without a chance to say goodbye.
    pub(super) fn kill(&mut self) -> Result<()> {
        // The first goes first: nginx would start another worker for one that ended.
        for process in self.processes() {
            Command::new("kill")
                .args(["-KILL", &process.to_string()])
                .status()?;
        }
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a run that went well it has ended already, and there is nobody to kill.
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.kill());
        }
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
