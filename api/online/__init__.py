"""The online lane's end in the gateway: a request in, an entry out, an answer back."""
