//! The request that a transform changes.

use super::{Input, State, none};
use crate::plugins::bindings::host::billhook::plugin::deliveries;
use crate::plugins::imports::handles::{Event, Outgoing};
use crate::plugins::transform::OutgoingInput;
use wasmtime::Result;
use wasmtime::component::Resource;

impl State {
    fn outgoing(&mut self) -> Result<&mut OutgoingInput> {
        self.count_call()?;
        match &mut self.input {
            Input::Outgoing(outgoing) => Ok(outgoing),
            Input::Webhook(_) | Input::Event(_) | Input::Request(_) => Err(none("delivery")),
        }
    }
}

impl deliveries::Host for State {}

impl deliveries::HostOutgoing for State {
    fn delivery_id(&mut self, _: Resource<Outgoing>) -> Result<String> {
        Ok(self.outgoing()?.delivery.clone())
    }

    fn endpoint(&mut self, _: Resource<Outgoing>) -> Result<String> {
        Ok(self.outgoing()?.endpoint.clone())
    }

    fn about(&mut self, _: Resource<Outgoing>) -> Result<Resource<Event>> {
        self.outgoing()?;
        Ok(Resource::new_own(0))
    }

    fn body(&mut self, _: Resource<Outgoing>) -> Result<Vec<u8>> {
        Ok(self.outgoing()?.request.body.to_vec())
    }

    fn content_type(&mut self, _: Resource<Outgoing>) -> Result<String> {
        Ok(self.outgoing()?.request.content_type.clone())
    }

    fn header(&mut self, _: Resource<Outgoing>, name: String) -> Result<Vec<Vec<u8>>> {
        let headers = self.outgoing()?.request.headers.iter();
        Ok(headers.filter(|(n, _)| n.eq_ignore_ascii_case(&name)).map(|(_, value)| value.clone()).collect())
    }

    fn headers(&mut self, _: Resource<Outgoing>) -> Result<Vec<(String, Vec<u8>)>> {
        Ok(self.outgoing()?.request.headers.clone())
    }

    fn set_body(&mut self, _: Resource<Outgoing>, body: Vec<u8>, content_type: String) -> Result<()> {
        let request = &mut self.outgoing()?.request;
        request.body = body.into();
        request.content_type = content_type;
        Ok(())
    }

    fn set_header(
        &mut self,
        _: Resource<Outgoing>,
        name: String,
        value: Vec<u8>,
    ) -> Result<Result<(), String>> {
        Ok(self.outgoing()?.set_header(&name, value))
    }

    fn remove_header(&mut self, _: Resource<Outgoing>, name: String) -> Result<()> {
        self.outgoing()?.remove_header(&name);
        Ok(())
    }

    fn set_path(&mut self, _: Resource<Outgoing>, path: String) -> Result<Result<(), String>> {
        Ok(self.outgoing()?.set_path(path))
    }

    fn drop(&mut self, _: Resource<Outgoing>) -> Result<()> {
        Ok(())
    }
}
