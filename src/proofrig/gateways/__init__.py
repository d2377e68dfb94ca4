"""The ways out of an agent: ask the authority, pass on, write down."""
