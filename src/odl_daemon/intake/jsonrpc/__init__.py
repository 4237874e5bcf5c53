"""The door for programs that speak to aria2: its JSON-RPC, answered from the user's own tasks (docs/jsonrpc.md)."""
