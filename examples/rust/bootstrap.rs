//! A function in Rust with the standard library alone: speaks the Runtime API over plain sockets, one connection a request.
use std::env;
use std::io::{self, Read, Write};
use std::net::TcpStream;

/// One request; the answer's headers and body.
fn ask(method: &str, path: &str, body: &[u8]) -> io::Result<(String, Vec<u8>)> {
    let api = env::var("AWS_LAMBDA_RUNTIME_API").expect("AWS_LAMBDA_RUNTIME_API");
    let mut stream = TcpStream::connect(api)?;
    write!(
        stream,
        "{method} /2018-06-01/runtime/invocation/{path} HTTP/1.1\r\nHost: runtime\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    Ok((String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end + 4..].to_vec()))
}

fn main() -> io::Result<()> {
    loop {
        let (headers, event) = ask("GET", "next", b"")?;
        let id = headers
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("lambda-runtime-aws-request-id"))
            .map(|(_, value)| value.to_owned())
            .ok_or(io::ErrorKind::InvalidData)?;
        println!("hello from Rust, request {id}");
        let mut answer = br#"{"language": "Rust", "event": "#.to_vec();
        answer.extend_from_slice(&event);
        answer.push(b'}');
        ask("POST", &format!("{id}/response"), &answer)?;
    }
}
