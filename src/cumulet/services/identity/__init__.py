"""IAM and STS, as far as tools need them: who is who. Policies are kept, not enforced yet."""
