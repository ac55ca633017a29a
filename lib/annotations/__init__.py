"""What annotators made: immutable label versions, their deliveries to the PACS, patient splits, notes on images."""
