"""What tests and pictures of dom0's programs share: recorded answers of two firewalls."""
