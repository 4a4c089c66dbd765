//! The request that a verifier judges.

use super::{Input, State, none};
use crate::plugins::bindings::host::billhook::plugin::ingress;
use crate::plugins::imports::handles::Request;
use crate::plugins::verify::RequestInput;
use wasmtime::Result;
use wasmtime::component::Resource;

impl State {
    fn request(&mut self) -> Result<&RequestInput> {
        self.count_call()?;
        match &self.input {
            Input::Request(request) => Ok(request),
            Input::Webhook(_) | Input::Event(_) | Input::Outgoing(_) => Err(none("request")),
        }
    }
}

impl ingress::Host for State {}

impl ingress::HostRequest for State {
    fn source(&mut self, _: Resource<Request>) -> Result<String> {
        Ok(self.request()?.source.clone())
    }

    fn provider(&mut self, _: Resource<Request>) -> Result<String> {
        Ok(self.request()?.provider.clone())
    }

    fn method(&mut self, _: Resource<Request>) -> Result<String> {
        Ok(self.request()?.method.clone())
    }

    fn path(&mut self, _: Resource<Request>) -> Result<String> {
        Ok(self.request()?.path.clone())
    }

    fn query(&mut self, _: Resource<Request>) -> Result<String> {
        Ok(self.request()?.query.clone())
    }

    fn header(&mut self, _: Resource<Request>, name: String) -> Result<Vec<Vec<u8>>> {
        let headers = self.request()?.headers.iter();
        Ok(headers.filter(|(n, _)| n.eq_ignore_ascii_case(&name)).map(|(_, value)| value.clone()).collect())
    }

    fn headers(&mut self, _: Resource<Request>) -> Result<Vec<(String, Vec<u8>)>> {
        Ok(self.request()?.headers.clone())
    }

    fn body(&mut self, _: Resource<Request>) -> Result<Vec<u8>> {
        Ok(self.request()?.body.to_vec())
    }

    fn received_at(&mut self, _: Resource<Request>) -> Result<u64> {
        Ok(self.request()?.received_at.millis())
    }

    fn remote_address(&mut self, _: Resource<Request>) -> Result<Option<String>> {
        Ok(self.request()?.remote.map(|ip| ip.to_string()))
    }

    fn drop(&mut self, _: Resource<Request>) -> Result<()> {
        Ok(())
    }
}
