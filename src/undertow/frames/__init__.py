"""From single events to rows on a grid. The only room that sees single events."""
