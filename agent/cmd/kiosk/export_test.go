package kiosk

// Patterns is what the agent is given of the configured codes; nothing else
// shows it.
var Patterns = patterns
