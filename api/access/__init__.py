"""API keys: authentication, permissions, quotas.

permissions    the table of endpoints and the permission that each requires
authenticator  a request's headers → its principal, by the valid keys in memory, without Redis
middleware     authenticates and authorizes all requests except predictions, which do so themselves
signed_links   links with a permission of their own for a minute, for browsers that save files
limits         quotas of keys: requests per period, rows per day
"""
