//! Load generator, canned nodes and measurements of the gateway.
