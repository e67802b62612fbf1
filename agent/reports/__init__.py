"""What happened, as HTML pages that need no network: the same page and the same drawing for a simulated run and for a real one."""
