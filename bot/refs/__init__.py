"""Git references of actions and includes, resolved to commits by smart HTTP."""
