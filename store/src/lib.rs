//! The only durable writer: index registry, task registry and topology behind one interface.
