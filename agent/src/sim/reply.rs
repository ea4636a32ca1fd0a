//! How one request for tokens is answered: in step with its schedule, faults included.

use std::sync::Arc;

use common::target::Endpoint;
use common::time::Tick;

use super::api::{self, Ask, Facts, Reason, Reply};
use super::desk::{Desk, OpenRequest, Turn};
use super::images::{self, Image};
use super::model::{Finish, Plan, Refusal};
use super::names::Unknown;
use super::pages::JSON;
use super::profile::Fault;
use super::wire::{Left, Request, Wire};

/// What is to become of the connection after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Keep,
    Close,
    Reset,
}

/// Answers a request for tokens.
pub(super) async fn answer(
    desk: &Arc<Desk>,
    wire: &mut Wire,
    endpoint: Endpoint,
    request: &Request,
) -> Result<After, Left> {
    let keep = request.head.keep_alive;
    let (ask, images) = match understand(desk, endpoint, request).await {
        Ok(understood) => understood,
        Err(message) => {
            desk.refuse_bad(request.arrival, &request.body, 400);
            let body = api::error_body("invalid_request_error", 400, &message);
            return simple(wire, 400, JSON, &[], body.as_bytes(), keep).await;
        }
    };
    let (model, adapter) = match desk.names.asked(&request.body) {
        Ok(model) => model,
        Err(Unknown(name)) => {
            desk.refuse_bad(request.arrival, &request.body, 404);
            let message = format!("The model `{name}` does not exist.");
            let body = api::error_body("NotFoundError", 404, &message);
            return simple(wire, 404, JSON, &[], body.as_bytes(), keep).await;
        }
    };
    // Images may have had to be fetched before anything can be done with the request.
    let arrival = if images.is_empty() { request.arrival } else { desk.clock.now() };
    let (mut open, turn) = OpenRequest::begin(desk, arrival, &request.body, ask);
    open.shows(images.iter().map(|image| image.hash).collect());
    open.named(adapter);
    // There is no calendar here: `created` is the simulator's age in seconds.
    let created_s = request.arrival.0 / 1_000_000_000;
    let facts =
        Facts { sequence: open.sequence(), model, created_s, prompt_tokens: ask.prompt_tokens };
    let reply = Reply::new(endpoint, facts);
    let mut job = Job { desk, wire, open: &mut open, reply, ask, keep, out: Vec::new() };
    let end = job.run(turn).await;
    match end {
        Ok(_) => open.complete(),
        Err(Left) => open.client_left(),
    }
    end
}

/// What a request asks for, and its images, which are a part of the prompt.
async fn understand(
    desk: &Desk,
    endpoint: Endpoint,
    request: &Request,
) -> Result<(Ask, Vec<Image>), String> {
    let (mut ask, images) = Ask::parse(endpoint, &request.body, desk.counting)?;
    let images = images::look(&images, desk.images_max).await?;
    ask.prompt_tokens += images.iter().map(|image| image.tokens()).sum::<u64>();
    Ok((desk.admit(ask)?, images))
}

/// One request on its way.
struct Job<'a> {
    desk: &'a Desk,
    wire: &'a mut Wire,
    open: &'a mut OpenRequest,
    reply: Reply,
    ask: Ask,
    keep: bool,
    out: Vec<u8>,
}

/// What clients are told by [`Fault::ErrorInStream`].
const BROKEN: &str = "the engine failed while it was generating";

impl Job<'_> {
    async fn run(&mut self, turn: Turn) -> Result<After, Left> {
        match turn {
            Turn::Refused(refusal) => self.refuse(refusal).await,
            Turn::Now(plan) => {
                self.start().await?;
                self.serve(plan).await
            }
            Turn::Later(receiver) => {
                self.start().await?;
                // The other half is dropped unused only together with the server.
                let plan = self.wire.until(receiver).await?.map_err(|_| Left)?;
                self.open.granted(&plan);
                self.serve(plan).await
            }
        }
    }

    /// The head of a stream goes out at once, whether there is a slot or not, as real servers
    /// do it.
    async fn start(&mut self) -> Result<(), Left> {
        if self.ask.stream {
            self.open.status(200);
            self.wire.write(&stream_head(self.keep)).await?;
        }
        Ok(())
    }

    async fn serve(&mut self, plan: Plan) -> Result<After, Left> {
        if self.ask.stream { self.stream(plan).await } else { self.whole(plan).await }
    }

    async fn refuse(&mut self, refusal: Refusal) -> Result<After, Left> {
        let (status, kind, message, more): (_, _, _, &[&str]) = match refusal {
            Refusal::Error => (500, "internal_error", "the engine failed", &[]),
            Refusal::Busy => (503, "service_unavailable", "the server is overloaded", &[]),
            Refusal::RateLimit => {
                (429, "rate_limit_exceeded", "too many requests", &["retry-after: 1"])
            }
        };
        self.open.inject(refusal.fault());
        self.open.status(status);
        let body = self.reply.refusal(kind, status, message);
        simple(self.wire, status, JSON, more, body.as_bytes(), self.keep).await
    }

    async fn stream(&mut self, mut plan: Plan) -> Result<After, Left> {
        if plan.drip {
            self.open.inject(Fault::Drip);
        }
        for place in 0..plan.tokens {
            let now = self.next_token(&mut plan).await?;
            if place == 0 {
                self.reply.begin(&mut self.out);
                self.send(plan.drip).await?;
            }
            let reason = (place + 1 == plan.tokens).then(|| reason(plan.finish)).flatten();
            self.reply.token(&mut self.out, place, reason);
            self.open.wrote(1, now);
            self.send(plan.drip).await?;
        }
        if plan.tokens == 0 {
            self.wire.wait(plan.schedule.next(self.desk.active())).await?;
            self.reply.begin(&mut self.out);
            self.send(plan.drip).await?;
        }
        match plan.finish {
            Finish::Whole => self.end_stream(&plan).await,
            Finish::Early(fault) => {
                self.open.inject(fault);
                if plan.tokens == 0 {
                    self.reply.stop(&mut self.out, Reason::Stop);
                    self.send(plan.drip).await?;
                }
                self.end_stream(&plan).await
            }
            Finish::Error => {
                self.open.inject(Fault::ErrorInStream);
                self.reply.error(&mut self.out, BROKEN);
                self.send(plan.drip).await?;
                self.end_events(plan.drip).await
            }
            Finish::Stall => self.stall().await,
            Finish::Truncate => Ok(self.break_off(Fault::Truncate, After::Close)),
            Finish::Reset => Ok(self.break_off(Fault::Reset, After::Reset)),
        }
    }

    /// What follows the last token, usage if it is due, and the end.
    async fn end_stream(&mut self, plan: &Plan) -> Result<After, Left> {
        if self.ask.include_usage && !plan.usage {
            self.open.inject(Fault::NoUsage);
        }
        let usage = self.ask.include_usage && plan.usage;
        let reason = reason(plan.finish).unwrap_or(Reason::Length);
        self.reply.finish(&mut self.out, plan.tokens, reason, usage);
        self.send(plan.drip).await?;
        self.open.served();
        self.end_events(plan.drip).await
    }

    async fn end_events(&mut self, drip: bool) -> Result<After, Left> {
        self.reply.done(&mut self.out);
        self.send(drip).await?;
        self.out.extend_from_slice(b"0\r\n\r\n");
        self.send(drip).await?;
        Ok(self.after())
    }

    async fn whole(&mut self, mut plan: Plan) -> Result<After, Left> {
        let mut now = plan.granted;
        for _ in 0..plan.tokens {
            now = self.next_token(&mut plan).await?;
        }
        if plan.tokens == 0 {
            now = self.wire.wait(plan.schedule.next(self.desk.active())).await?;
        }
        self.open.status(200);
        let reason = reason(plan.finish).unwrap_or(Reason::Length);
        let body = match plan.finish {
            Finish::Error => self.reply.refusal("internal_error", 500, BROKEN).into_bytes(),
            Finish::Whole | Finish::Early(_) | Finish::Stall | Finish::Truncate | Finish::Reset => {
                self.reply.whole(plan.tokens, reason, plan.usage)
            }
        };
        let mut head = head(200, JSON, &[], body.len(), self.keep);
        if plan.drip {
            self.open.inject(Fault::Drip);
            self.wire.write(&head).await?;
            self.out = body;
            self.open.wrote(plan.tokens, now);
            self.send(true).await?;
            self.open.served();
            return Ok(self.after());
        }
        let shown = match plan.finish {
            Finish::Whole | Finish::Early(_) => {
                self.open.wrote(plan.tokens, now);
                body.len()
            }
            Finish::Error => body.len(),
            Finish::Stall | Finish::Truncate | Finish::Reset => body.len() / 2,
        };
        head.extend(body.iter().take(shown));
        self.wire.write(&head).await?;
        match plan.finish {
            Finish::Whole => {
                if !plan.usage {
                    self.open.inject(Fault::NoUsage);
                }
                self.open.served();
                Ok(self.after())
            }
            Finish::Early(fault) => {
                self.open.inject(fault);
                self.open.served();
                Ok(self.after())
            }
            Finish::Error => {
                self.open.inject(Fault::ErrorInStream);
                Ok(self.after())
            }
            Finish::Stall => self.stall().await,
            Finish::Truncate => Ok(self.break_off(Fault::Truncate, After::Close)),
            Finish::Reset => Ok(self.break_off(Fault::Reset, After::Reset)),
        }
    }

    /// Waits until the next token is due.
    async fn next_token(&mut self, plan: &mut Plan) -> Result<Tick, Left> {
        let due = plan.schedule.next(self.desk.active());
        let now = self.wire.wait(due).await?;
        self.open.generated();
        Ok(now)
    }

    async fn stall(&mut self) -> Result<After, Left> {
        self.open.inject(Fault::Stall);
        Err(self.wire.gone().await)
    }

    fn break_off(&mut self, fault: Fault, after: After) -> After {
        self.open.inject(fault);
        after
    }

    /// Writes what has been composed, in one piece unless it drips.
    async fn send(&mut self, drip: bool) -> Result<(), Left> {
        if drip {
            self.wire.drip(&self.out).await?;
        } else if !self.out.is_empty() {
            self.wire.write(&self.out).await?;
        }
        self.out.clear();
        Ok(())
    }

    fn after(&self) -> After {
        if self.keep { After::Keep } else { After::Close }
    }
}

/// The reason that the last token carries; a reply that breaks off has none.
fn reason(finish: Finish) -> Option<Reason> {
    match finish {
        Finish::Whole => Some(Reason::Length),
        Finish::Early(_) => Some(Reason::Stop),
        Finish::Stall | Finish::Truncate | Finish::Reset | Finish::Error => None,
    }
}

/// Sends a reply that is known at once.
pub(super) async fn simple(
    wire: &mut Wire,
    status: u16,
    content_type: &str,
    more: &[&str],
    body: &[u8],
    keep: bool,
) -> Result<After, Left> {
    let mut bytes = head(status, content_type, more, body.len(), keep);
    bytes.extend_from_slice(body);
    wire.write(&bytes).await?;
    Ok(if keep { After::Keep } else { After::Close })
}

/// The head of a reply of known length.
fn head(status: u16, content_type: &str, more: &[&str], length: usize, keep: bool) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "",
    };
    let more: String = more.iter().map(|field| format!("{field}\r\n")).collect();
    let close = if keep { "" } else { "connection: close\r\n" };
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\n\
         content-length: {length}\r\n{more}{close}\r\n"
    )
    .into_bytes()
}

fn stream_head(keep: bool) -> Vec<u8> {
    chunked_head("text/event-stream; charset=utf-8", keep)
}

/// The head of a reply in chunks.
pub(super) fn chunked_head(content_type: &str, keep: bool) -> Vec<u8> {
    let close = if keep { "" } else { "connection: close\r\n" };
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncache-control: no-cache\r\n\
         transfer-encoding: chunked\r\n{close}\r\n"
    )
    .into_bytes()
}
