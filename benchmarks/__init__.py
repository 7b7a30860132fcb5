"""What agentinfra claims about speed and accuracy, measured beside what else there is."""
