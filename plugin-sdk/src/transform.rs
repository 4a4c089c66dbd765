//! Reshaping what an endpoint gets.

use crate::{Failure, Outgoing, Plugin};

/// Changes a request before it is signed and sent, for an endpoint that wants another shape than the standard one.
///
/// ```
/// use billhook_plugin::{Event, Failure, Outgoing, Plugin, Sending, Transform};
///
/// struct Chat {
///     room: String,
/// }
///
/// #[derive(serde::Deserialize)]
/// struct Config {
///     room: String,
/// }
///
/// impl Plugin for Chat {
///     type Config = Config;
///     fn new(Config { room }: Config) -> Result<Chat, Failure> {
///         Ok(Chat { room })
///     }
/// }
///
/// impl Transform for Chat {
///     fn transform(&self, outgoing: &mut Outgoing<'_>) -> Result<Sending, Failure> {
///         let event = outgoing.about();
///         if event.replayed() {
///             return Ok(Sending::Drop("the room has heard of it".into()));
///         }
///         let line = format!("{} from {}", event.event_type(), event.provider());
///         outgoing.set_path(&format!("/rooms/{}", self.room))?;
///         outgoing.set_body(line, "text/plain; charset=utf-8");
///         Ok(Sending::Send)
///     }
/// }
///
/// let event = Event::from_json(r#"{"type":"invoice.paid","provider":"acme"}"#).unwrap();
/// let mut outgoing = Outgoing::new("chat", event);
/// let chat = Chat { room: "billing".into() };
/// assert_eq!(chat.transform(&mut outgoing), Ok(Sending::Send));
/// assert_eq!(outgoing.body(), b"invoice.paid from acme");
/// assert_eq!(outgoing.path(), Some("/rooms/billing"));
/// ```
pub trait Transform: Plugin {
    /// Changes what is sent, or drops it.
    ///
    /// It runs at each attempt, and a receiver takes the second attempt for the first one repeated: equal input must
    /// give equal output. After an error nothing of what was changed is sent.
    fn transform(&self, outgoing: &mut Outgoing<'_>) -> Result<Sending, Failure>;
}

/// What a transform says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    /// It is sent as it now is.
    Send,
    /// It is not sent to this endpoint, for this reason; the event stays in the store.
    Drop(String),
}
