//! A web service that answers what it is told to.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

type Answers = Arc<Mutex<BTreeMap<String, (u16, String)>>>;

/// Listens until the test ends.
pub(crate) struct Service {
    pub(crate) url: String,
    answers: Answers,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Service {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let answers = Answers::default();
        let known = answers.clone();
        let asked = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let counted = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|it| it == 1) {
                    request.push(byte[0]);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                *counted.lock().expect("not poisoned").entry(path.to_owned()).or_default() += 1;
                let answer = known.lock().expect("not poisoned").get(path).cloned();
                let (status, body) = answer.unwrap_or((404, "{}".to_owned()));
                let length = body.len();
                let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        Self { url, answers, asked }
    }

    /// From now on; what it was told nothing of is not found.
    pub(crate) fn answers(&self, path: &str, status: u16, body: &str) {
        self.answers.lock().expect("not poisoned").insert(path.to_owned(), (status, body.to_owned()));
    }

    /// How often it was asked for this.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.asked.lock().expect("not poisoned").get(path).copied().unwrap_or_default()
    }
}
